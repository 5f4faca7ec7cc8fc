//! Commands and samples of the documentation: each one is run by a script, which a marker before it names.
//!
//! A marker is an HTML comment on a line of its own, `<!-- tests/tour: observe -->`: the script, and the name of the block
//! in it. A block without a marker has to be output, whose language is `text`.

/// A block of code in a Markdown document.
struct Block<'a> {
    line: usize,
    language: &'a str,
    marker: Option<&'a str>,
}

/// The blocks in `markdown` that no script runs, each with its line and what is expected. `script` is the text of a file
/// of the repository, if there is one.
#[must_use]
pub fn unrun_samples(
    markdown: &str,
    script: &dyn Fn(&str) -> Option<String>,
) -> Vec<(usize, String)> {
    let problem = |block: &Block<'_>| match block.marker {
        None if block.language == "text" => None,
        None => Some(
            "expected a marker before the block, such as <!-- tests/SCRIPT: NAME -->".to_owned(),
        ),
        Some(marker) => {
            let (path, name) = marker.split_once(": ")?;
            match script(path) {
                None => Some(format!("expected a script, got {path}")),
                Some(text) if runs(&text, name) => None,
                Some(_) => Some(format!("expected {path} to run the block {name:?}")),
            }
        }
    };
    blocks(markdown)
        .iter()
        .filter_map(|block| Some((block.line, problem(block)?)))
        .collect()
}

/// Whether a script has this name of a block, as a word or in quotes.
fn runs(script: &str, name: &str) -> bool {
    let is_end = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '_');
    script.match_indices(name).any(|(at, _)| {
        is_end(script[..at].chars().next_back()) && is_end(script[at + name.len()..].chars().next())
    })
}

fn blocks(markdown: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let (mut marker, mut is_open) = (None, false);
    for (line, text) in (1..).zip(markdown.lines().map(str::trim_start)) {
        let fence = text.strip_prefix("```");
        match fence {
            Some(language) if !is_open => {
                is_open = true;
                let marker = marker.take();
                blocks.push(Block {
                    line,
                    language,
                    marker,
                });
            }
            Some(_) => is_open = false,
            None if is_open || text.is_empty() => (),
            None => {
                let comment = text
                    .strip_prefix("<!-- ")
                    .and_then(|text| text.strip_suffix(" -->"));
                marker = comment.filter(|comment| comment.contains(": "));
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(markdown: &str) -> Vec<(usize, String)> {
        unrun_samples(markdown, &|path| {
            (path == "tests/tour").then(|| "run observe\nblock \"java script\"".to_owned())
        })
    }

    #[test]
    fn a_block_is_run_by_the_script_that_its_marker_names() {
        let good = "<!-- tests/tour: observe -->\n```sh\na\n```\n\n<!-- tests/tour: java script -->\n```js\n```\n```text\n```";
        assert_eq!(found(good), []);
    }

    #[test]
    fn a_block_that_no_script_runs_is_found_with_its_line() {
        let lines = |markdown| {
            found(markdown)
                .into_iter()
                .map(|(line, _)| line)
                .collect::<Vec<_>>()
        };
        assert_eq!(lines("a\n```sh\n```"), [2]);
        assert_eq!(lines("<!-- tests/tour: observe -->\ntext\n```sh\n```"), [3]);
        assert_eq!(lines("<!-- tests/tour: obs -->\n```sh\n```"), [2]);
        assert_eq!(lines("<!-- tests/other: observe -->\n```sh\n```"), [2]);
        assert_eq!(
            lines("<!-- tests/tour: observe -->\n```sh\n```\n```toml\n```"),
            [4]
        );
    }
}
