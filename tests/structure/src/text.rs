//! The words of a text, be it prose or source code.

/// A sequence of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// In lower case.
    pub(crate) lower: String,
    pub(crate) line: usize,
    /// Whether only a space, `_` or `-`, or the end of a line of prose is between this word and the previous one.
    pub(crate) follows: bool,
}

/// Splits a text at each character that is not a letter, and an identifier in camel case before each capital.
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

/// Whether two words belong to one phrase if `gap` is the text between them.
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
