//! The rules about documents: each is in the index, and the glossary names code that is there.
//!
//! Decides by what is on disk. Refuses a document that no reader is led to, and a place in the code
//! that has moved away. Which words are gone, `words.rs` says.

use std::path::Path;

use super::Finding;
use super::comments::too_little;
use super::words;

/// Checks the texts of a repository at `root`.
pub(crate) fn check(root: &Path, files: &[(String, String)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    index(files, &mut findings);
    glossary(root, files, &mut findings);
    for (path, text) in files {
        descriptions(path, text, &mut findings);
        findings.extend(words::gone(path, text));
    }
    findings
}

fn text<'a>(files: &'a [(String, String)], path: &str) -> &'a str {
    files.iter().find(|(name, _)| name == path).map_or("", |(_, text)| text)
}

/// Every document is in the index, or in a folder that is.
fn index(files: &[(String, String)], findings: &mut Vec<Finding>) {
    let index = text(files, "docs/README.md");
    for (path, _) in files {
        let Some(name) =
            path.strip_prefix("docs/").filter(|name| name.ends_with(".md") && *name != "README.md")
        else {
            continue;
        };
        let folder = name.rsplit_once('/').map(|(folder, _)| format!("]({folder}/)"));
        let there =
            index.contains(&format!("]({name})")) || folder.is_some_and(|folder| index.contains(&folder));
        if !there {
            let reason = "a document that the index doesn't name is found by nobody";
            findings.push(Finding::new(path, 1, "is not in docs/README.md".into(), reason));
        }
    }
}

/// What stands in backticks in the glossary and looks like a place in the code is one.
fn glossary(root: &Path, files: &[(String, String)], findings: &mut Vec<Finding>) {
    let path = "docs/glossary.md";
    for (number, line) in text(files, path).lines().enumerate() {
        for place in line.split('`').skip(1).step_by(2) {
            let there = if place.contains("::") {
                module(files, place)
            } else {
                let file = place.contains('/') && !place.starts_with('/') && !place.contains(' ');
                !file || root.join(place).exists()
            };
            if !there {
                let reason = "a glossary that points at code that has moved misleads whoever trusts it";
                findings.push(Finding::new(
                    path,
                    number + 1,
                    format!("names `{place}`, which is not there"),
                    reason,
                ));
            }
        }
    }
}

/// Whether `crate::module::Item` names files of the crate's folder, and at the end an item of the
/// last of them.
fn module(files: &[(String, String)], place: &str) -> bool {
    let mut parts = place.trim_start_matches("parsec_").split("::");
    let mut folder = format!("{}/src", parts.next().unwrap_or_default());
    let mut item = "";
    for part in parts {
        let deeper = format!("{folder}/{part}");
        let is_module = files
            .iter()
            .any(|(path, _)| *path == format!("{deeper}.rs") || path.starts_with(&format!("{deeper}/")));
        if !is_module {
            item = part;
            break;
        }
        folder = deeper;
    }
    let own = [format!("{folder}.rs"), format!("{folder}/mod.rs")];
    item.is_empty()
        || files.iter().filter(|(path, _)| own.contains(path)).any(|(_, text)| {
            let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            words.contains(&item)
        })
}

/// What a line of a schema says to people.
pub(crate) fn described(line: &str) -> Option<&str> {
    let (key, said) = line.trim_start().split_once(": ")?;
    ["\"description\"", "\"summary\""].contains(&key).then(|| said.trim_matches([',', '"']))
}

/// What the schemas say to people is more than a pronoun.
fn descriptions(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if !(path.starts_with("docs/") && path.ends_with(".json")) {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(what) = described(line).and_then(|said| too_little(said, true)) {
            let what = what.replace("doc comment", "description");
            findings.push(Finding::new(
                path,
                number + 1,
                what,
                "programs are written from these schemas alone",
            ));
        }
    }
}

/// The rules can fail.
#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn documents() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let check = |files: &[(&str, &str)]| {
            let files: Vec<_> =
                files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
            super::check(root, &files).len()
        };
        let index = ("docs/README.md", "[a](a.md), [why](decisions/)");
        assert_eq!(check(&[index, ("docs/a.md", ""), ("docs/decisions/0001.md", "")]), 0);
        assert_eq!(check(&[index, ("docs/b.md", "")]), 1, "a document that is not in the index");
        let schema = |said: &str| {
            let line = format!("  \"description\": \"{said}\",");
            check(&[index, ("docs/openrpc.json", line.as_str())])
        };
        assert_eq!([schema("Id of the member."), schema("Which."), schema("The road it takes.")], [0, 1, 1]);
        let code = ("protocol/src/ids/mod.rs", "pub struct Token;");
        let glossary =
            |text| check(&[("docs/README.md", "(x](glossary.md)"), code, ("docs/glossary.md", text)]);
        assert_eq!(glossary("`protocol::ids::Token`, `protocol::ids`, `docs/`, `parsecctl trust`"), 0);
        for moved in ["`protocol::ids::Tok`", "`protocol::names`", "`docs/nowhere/`"] {
            assert_eq!(glossary(moved), 1, "{moved}");
        }
    }
}
