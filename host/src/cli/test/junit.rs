//! The report as JUnit XML, which CI systems show as tests: a test case for each situation. Advice is no failure.

use std::io;

use oneflight::printable::{Escape, escape_lines};
use quick_xml::Writer;
use quick_xml::events::BytesText;

use super::finding::{Finding, Verdict};
use super::report::KitReport;

/// Writes `report` as an XML document.
pub(super) fn junit(report: &KitReport) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let (tests, failures) = (
        report.situations.len().to_string(),
        report.failed.to_string(),
    );
    let (skipped, time) = ("0", format!("{:.3}", report.seconds));
    let component = printed(&report.component);
    let name = format!("oneflight test {component}");
    writer
        .create_element("testsuites")
        .with_attribute(("tests", &*tests))
        .with_attribute(("failures", &*failures))
        .write_inner_content(|writer| {
            writer
                .create_element("testsuite")
                .with_attributes([
                    ("name", &*name),
                    ("tests", &*tests),
                    ("failures", &*failures),
                    ("errors", "0"),
                    ("skipped", skipped),
                    ("time", &*time),
                ])
                .write_inner_content(|writer| {
                    for finding in &report.situations {
                        test_case(writer, finding)?;
                    }
                    Ok(())
                })?;
            Ok(())
        })?;
    Ok(writer.into_inner())
}

fn test_case(writer: &mut Writer<Vec<u8>>, finding: &Finding) -> io::Result<()> {
    let time = format!("{:.3}", finding.seconds);
    let name = format!("{}: {}", finding.id, finding.title);
    let case = writer.create_element("testcase").with_attributes([
        ("classname", "oneflight.test"),
        ("name", &*name),
        ("time", &*time),
    ]);
    let (found, details) = (printed(&finding.found), printed(&details(finding)));
    match finding.verdict {
        Verdict::Pass => case.write_empty(),
        Verdict::Advice => case.write_inner_content(|writer| {
            let text = format!("advice: {found}\n{details}");
            let out = writer.create_element("system-out");
            out.write_text_content(BytesText::new(&text)).map(drop)
        }),
        Verdict::Fail => case.write_inner_content(|writer| {
            let failure = writer.create_element("failure");
            let failure = failure.with_attribute(("message", &*found));
            failure
                .write_text_content(BytesText::new(&details))
                .map(drop)
        }),
    }
    .map(drop)
}

fn details(finding: &Finding) -> String {
    let mut lines = Vec::new();
    if !finding.message.is_empty() {
        lines.push(format!("caller: {}: {}", finding.code, finding.message));
    }
    if !finding.change.is_empty() {
        lines.push(format!("change: {}", finding.change));
    }
    lines.extend(finding.log.iter().map(|line| format!("log: {line}")));
    lines.join("\n")
}

/// Without control characters, which XML has no form for.
fn printed(text: &str) -> String {
    escape_lines(text, Escape::Rust).into_owned()
}
