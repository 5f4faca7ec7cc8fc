//! The words of a text, be it prose or source code.

/// A word of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// In lower case.
    pub(crate) lower: String,
    pub(crate) line: usize,
    /// Whether nothing but a space, the joint of an identifier or the end of a line of prose separates it
    /// from the word before it.
    pub(crate) follows: bool,
}

/// Splits a text at everything that is no letter, and identifiers where their words begin.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut line = 1;
    let mut gap = String::new();
    let mut before = ' ';
    for character in text.chars() {
        if character.is_alphabetic() {
            let inside =
                before.is_alphabetic() && !(before.is_lowercase() && character.is_uppercase());
            match words.last_mut() {
                Some(word) if inside => word.lower.extend(character.to_lowercase()),
                _ => words.push(Word {
                    lower: character.to_lowercase().collect(),
                    line,
                    follows: joins(&gap),
                }),
            }
            gap.clear();
        } else {
            gap.push(character);
            line += usize::from(character == '\n');
        }
        before = character;
    }
    words
}

/// Whether words with this between them belong to one phrase.
fn joins(gap: &str) -> bool {
    let mark = gap.trim();
    if gap.contains('\n') {
        ["", "//", "///", "//!", "#", "*", ">", "\\"].contains(&mark)
    } else {
        ["", "_", "-"].contains(&mark)
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn identifiers_and_prose_split_into_words() {
        let found = |text| {
            let words = words(text);
            let words = words.iter().map(|word| match word.follows {
                true => format!("~{}", word.lower),
                false => word.lower.clone(),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("(InFlight)"), "in ~flight");
        assert_eq!(found("(in_flight, x)"), "in ~flight x");
        assert_eq!(found("/// It is\n    /// held. So\n"), "it ~is ~held so");
        assert_eq!(found("(one)\n\ntwo's three\\n"), "one two s ~three n");
    }
}
