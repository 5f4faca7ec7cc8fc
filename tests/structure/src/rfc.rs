//! One form for citations of RFCs: `RFC 9111, section 5.2.1.4`, on one line, so that a search for the
//! number or the section finds every place that obeys it.
//!
//! An RFC as a whole (`RFC 9457`) needs no section, except where a comment says which rule the code below
//! it keeps: that comment is `// RFC 9112, section 3.2: one Host, and no more.`

/// The citations in `text` that have another form, each with its line and what is expected.
#[must_use]
pub fn deviations(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (place, line) in (1..).zip(text.lines()) {
        let mut rest = line;
        while let Some(start) = mention(rest) {
            let citation = &rest[start..];
            if let Err(expected) = check(citation) {
                found.push((place, expected.to_owned()));
            }
            rest = &citation[3..];
        }
        let rule = line.trim_start().strip_prefix("// RFC ");
        if rule.is_some_and(|rule| !names_a_rule(rule)) {
            found.push((
                place,
                "expected `// RFC NUMBER, section SECTION: the rule`".to_owned(),
            ));
        }
    }
    found
}

/// Where the next mention of an RFC starts. Part of a longer word or of an address, such as
/// `rfc-editor.org/rfc/rfc9110`, is no mention.
fn mention(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let mention = |start: &usize| {
        let before = start.checked_sub(1).map(|before| bytes[before]);
        let after = bytes.get(start + 3);
        bytes[*start..start + 3].eq_ignore_ascii_case(b"rfc")
            && !before.is_some_and(|b| b.is_ascii_alphanumeric() || b"/_-.".contains(&b))
            && !after.is_some_and(|b| b.is_ascii_alphabetic() || b"/_".contains(b))
    };
    (0..bytes.len().saturating_sub(2)).find(mention)
}

/// Checks the text from a mention on.
fn check(citation: &str) -> Result<(), &'static str> {
    const FORM: &str = "expected `RFC NUMBER` or `RFC NUMBER, section SECTION`";
    const SPLIT: &str = "expected the number of the RFC, or its section, on the same line";
    let after = &citation[3..];
    let Some(number) = citation.strip_prefix("RFC ") else {
        // `RFC9110`, `rfc 9110`; but "an RFC" is a plain word, unless its number is on the next line.
        let numbered = after
            .trim_start_matches([' ', '-'])
            .starts_with(|c: char| c.is_ascii_digit());
        return match (numbered, after.trim_end_matches('\\').is_empty()) {
            (true, _) => Err(FORM),
            (false, true) => Err(SPLIT),
            (false, false) => Ok(()),
        };
    };
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Ok(());
    }
    let after = &number[digits..];
    if let Some(section) = after.strip_prefix(", section") {
        return match section.strip_prefix(' ') {
            Some(section) if is_section(section) => Ok(()),
            _ => Err(SPLIT),
        };
    }
    // `RFC 9110, 7.6`, `RFC 9110 section 7.6`, `RFC 9110 §7.6`
    let next = after.trim_start_matches([',', ' ', '(']);
    let section = ["section", "Section", "sec.", "§", "#"];
    let numbered = next.starts_with(|c: char| c.is_ascii_digit()) && next != after;
    if numbered || section.iter().any(|word| next.starts_with(word)) {
        return Err(FORM);
    }
    Ok(())
}

/// `5.2.1.4`, or an appendix such as `A.1`.
fn is_section(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit() || c.is_ascii_uppercase())
}

/// Whether this continues `// RFC ` as a rule that the code below keeps.
fn names_a_rule(text: &str) -> bool {
    let Some((citation, rule)) = text.split_once(": ") else {
        return false;
    };
    citation.contains(", section ") && !rule.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_is_accepted() {
        for text in [
            "/// A problem document (RFC 9457).",
            "/// RFC 9111, section 5.2.1.4, and RFC 5234, section A.1.",
            "    // RFC 9112, section 3.2: one Host, and no more.",
            "all but RFC 3986's unreserved characters, neither RFC, RFCs",
            "[RFC 9457](https://www.rfc-editor.org/rfc/rfc9457.html#section-3)",
            "A network: RFC 1918, unique local",
        ] {
            assert_eq!(deviations(text), [], "{text}");
        }
    }

    #[test]
    fn every_other_form_is_refused() {
        for text in [
            "RFC9110",
            "RFC-9110",
            "Rfc 9110",
            "rfc 9110",
            "RFC 9110, 7.6",
            "RFC 9110 section 7.6",
            "RFC 9110, Section 7.6",
            "RFC 9110 (section 7.6)",
            "RFC 9110 §7.6",
            "by `no-cache` (RFC",
            "RFC 9110, section",
            "    // RFC 9112, section 3.2.",
            "    // RFC 9112: one Host.",
        ] {
            assert_eq!(deviations(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_deviation_has_its_line() {
        let form = "expected `RFC NUMBER` or `RFC NUMBER, section SECTION`";
        let found = deviations("RFC 9110\n\nRFC9110 and RFC 9110 7.6\n");
        assert_eq!(found, [(3, form.to_owned()), (3, form.to_owned())]);
    }
}
