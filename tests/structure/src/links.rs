//! Links between the documents of the repository.

/// The links of a Markdown document, each with its line: those to other hosts left out.
#[must_use]
pub fn links(markdown: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut is_open = false;
    for (place, line) in (1..).zip(markdown.lines()) {
        if line.trim_start().starts_with("```") {
            is_open = !is_open;
        } else if !is_open {
            let targets = line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split_once(')'));
            let local = targets
                .map(|(target, _)| target)
                .filter(|target| !target.contains("://"));
            found.extend(local.map(|target| (place, target)));
        }
    }
    found
}

/// The anchors of the headings of a Markdown document, as GitHub makes them.
#[must_use]
pub fn anchors(markdown: &str) -> Vec<String> {
    let mut is_open = false;
    let headings = markdown.lines().filter(|line| {
        if line.starts_with("```") {
            is_open = !is_open;
        }
        !is_open && line.starts_with('#')
    });
    let kept = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|heading| heading.chars().filter(|c| kept(*c)).collect::<String>())
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_anchors_outside_of_code_are_found() {
        let text = "# A `b`, c: d!\n[a](x.md#y) and [b](https://example.com/), [c](#a)\n```sh\n# no\n[d](z)\n```\n## E …";
        assert_eq!(links(text), [(2, "x.md#y"), (2, "#a")]);
        assert_eq!(anchors(text), ["a-b-c-d", "e-"]);
    }
}
