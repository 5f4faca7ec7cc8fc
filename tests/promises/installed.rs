//! What an installed program is expected to have: a version with its commit, completions, and manual pages.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use oneflight_tests::folder::Folder;
use oneflight_tests::process::run;

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The commands in the help of `command`, without `help`.
async fn commands(command: &[&str]) -> BTreeSet<String> {
    let help = text(&run(&[command, &["--help"]].concat()).await);
    let Some((_, listed)) = help.split_once("Commands:\n") else {
        return BTreeSet::new();
    };
    let lines = listed.lines().take_while(|line| !line.is_empty());
    // Descriptions are indented further.
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let shown = names.filter(|name| !name.is_empty() && *name != "help");
    shown.map(str::to_owned).collect()
}

/// What bash offers after `line`.
async fn completed(line: &str) -> Vec<String> {
    let script = text(&run(&["completions", "bash"]).await);
    let try_it = r#"
        words=($1)
        [[ $1 == *' ' ]] && words+=('')
        COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
        COMPREPLY=()
        _oneflight oneflight "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", &(script + try_it), "bash", line])
        .output()
        .unwrap();
    let offered = text(&output);
    offered.split_whitespace().map(str::to_owned).collect()
}

/// The commit that is checked out, with its date. Nothing if this is not a clone.
fn commit() -> Option<String> {
    let git = Command::new("git")
        .args(["log", "-1", "--abbrev=7", "--format=%h %cs"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let output = git.ok().filter(|output| output.status.success())?;
    Some(text(&output).trim_end().to_owned())
}

#[tokio::test]
async fn the_version_has_the_commit_and_its_date() {
    let version = concat!("oneflight ", env!("CARGO_PKG_VERSION"));
    let expected = match commit() {
        Some(commit) => format!("{version} ({commit})\n"),
        None => format!("{version}\n"),
    };
    assert_eq!(text(&run(&["--version"]).await), expected);
}

#[tokio::test]
async fn bash_completes_commands_flags_and_shells() {
    assert_eq!(completed("oneflight ser").await, ["serve"]);
    assert_eq!(completed("oneflight config pr").await, ["print"]);
    let flag = "--compile-max-memory-bytes";
    assert_eq!(completed("oneflight check --compile-max-m").await, [flag]);
    let shells = completed("oneflight completions ").await;
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(shells.iter().any(|each| each == shell), "{shells:?}");
    }
}

#[tokio::test]
async fn completions_offer_all_that_the_help_lists_and_nothing_hidden() {
    let offered = completed("oneflight ").await;
    let listed = commands(&[]).await;
    assert!(listed.contains("serve") && listed.contains("completions"));
    let offered: BTreeSet<_> = offered
        .into_iter()
        .filter(|each| !each.starts_with('-') && each != "help")
        .collect();
    assert_eq!(offered, listed);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = text(&run(&["completions", shell]).await);
        // A former name, which is refused with the present one.
        assert!(!script.contains("compile-memory"), "{shell}");
        // The end of the description of a hidden command.
        assert!(!script.contains("for another oneflight"), "{shell}");
    }
}

#[tokio::test]
async fn every_command_has_a_manual_page_with_its_own_title() {
    let folder = Folder::new();
    let pages = folder.path().join("man1");
    let written = run(&["man", pages.to_str().unwrap()]).await;
    assert_eq!(text(&written), "");
    let mut expected = BTreeSet::from(["oneflight.1".to_owned()]);
    for command in commands(&[]).await {
        for below in commands(&[&command]).await {
            expected.insert(format!("oneflight-{command}-{below}.1"));
        }
        expected.insert(format!("oneflight-{command}.1"));
    }
    let names = fs::read_dir(&pages).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), expected);
    let commit = commit();
    let date = commit
        .as_deref()
        .and_then(|commit| commit.split(' ').nth(1));
    let date = date.unwrap_or("\" \"");
    for file in &expected {
        let page = fs::read_to_string(pages.join(file)).unwrap();
        let title = file.strip_suffix(".1").unwrap();
        let heading = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let rest = format!("{date} \"oneflight {version}\" \"Oneflight manual\"");
        assert_eq!(heading, format!(".TH {title} 1 {rest}"));
    }
    let printed = text(&run(&["man"]).await);
    assert_eq!(
        printed,
        fs::read_to_string(pages.join("oneflight.1")).unwrap()
    );
}
