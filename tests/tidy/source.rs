//! Reads Rust source as far as the house rules need: what is code, what is a test, which paths are
//! named.
//!
//! Decides by looking at characters, not by compiling; refuses nothing. What it can't see (paths
//! made inside macros) the compiler's own visibility rules still guard.

/// A source file: its path in the repository, its text, and two readings of it.
pub(crate) struct Source {
    /// From the root of the repository, with `/`.
    pub(crate) path: String,
    /// As on disk.
    pub(crate) text: String,
    /// Same length in lines; comments and the insides of strings are blank.
    pub(crate) code: String,
    /// Like `code`, and test items are blank too.
    pub(crate) product: String,
}

impl Source {
    /// Reads a text.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = without_comments(text);
        let only_tests = is_test_path(path) || code.contains("#![cfg(test)]");
        let product = if only_tests { blank(&code) } else { without_tests(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, product }
    }

    /// Lines that are not inside a test item. The harness counts, tests written on it don't.
    pub(crate) fn lines_that_count(&self) -> usize {
        if is_test_path(&self.path) {
            let harness =
                ["tests/src/", "tests/xtask/", "tests/tidy"].iter().any(|part| self.path.starts_with(part));
            return if harness { self.text.lines().count() } else { 0 };
        }
        let tests = self.code.lines().zip(self.product.lines()).filter(|(code, product)| code != product);
        self.text.lines().count().saturating_sub(tests.count())
    }

    /// The crate's folder and the module's path inside it: `daemon`, `[store, chain]`.
    pub(crate) fn module(&self) -> (&str, Vec<&str>) {
        let mut parts: Vec<&str> = self.path.trim_end_matches(".rs").split('/').collect();
        let folder = parts.first().copied().unwrap_or_default();
        parts.drain(..parts.len().min(2));
        if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
            parts.pop();
        }
        (folder, parts)
    }

    /// Every path the product part names, as written, with its line.
    pub(crate) fn raw_paths(&self) -> Vec<(usize, Vec<String>)> {
        named_paths(&self.product)
    }

    /// What the product part imports, as written.
    pub(crate) fn imports(&self) -> Vec<Import> {
        imports(&tokens(&self.product))
    }

    /// Every path the product part names, with its line, `crate`, `self` and `super` resolved to
    /// the crate's folder.
    pub(crate) fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let (folder, module) = self.module();
        named_paths(&self.product)
            .into_iter()
            .map(|(line, path)| (line, resolve(path, folder, &module)))
            .collect()
    }
}

/// One name that a `use` brings in.
pub(crate) struct Import {
    /// The name it has in this file.
    pub(crate) name: String,
    /// Its path, as written.
    pub(crate) path: Vec<String>,
    /// Whether others see it here, too.
    pub(crate) public: bool,
}

/// Whether the file holds nothing but tests or test tools: the `tests` crate, and modules split off
/// as `tests.rs`.
pub(crate) fn is_test_path(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn resolve(path: Vec<String>, folder: &str, module: &[&str]) -> Vec<String> {
    let mut here: Vec<String> =
        std::iter::once(folder).chain(module.iter().copied()).map(str::to_owned).collect();
    let mut rest = path.into_iter().peekable();
    match rest.peek().map(String::as_str) {
        Some("crate") => {
            rest.next();
            here.truncate(1);
        }
        Some("self") => {
            rest.next();
        }
        Some("super") => {
            while rest.next_if(|part| part == "super").is_some() {
                here.pop();
            }
        }
        _ => here.clear(),
    }
    here.extend(rest);
    here
}

/// Every path of two names or more, and every leaf of a `use` tree.
fn named_paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at = tree(&tokens, at, &[], &mut found).max(at + 1);
    }
    found.retain(|(_, path)| path.len() > 1);
    found
}

/// Every leaf of every `use`. A name that is given with `as` keeps its own.
fn imports(tokens: &[(usize, String)]) -> Vec<Import> {
    let text = |at: usize| tokens.get(at).map(|(_, token)| token.as_str());
    let mut imports = Vec::new();
    for at in (0..tokens.len()).filter(|at| text(*at) == Some("use")) {
        let before = at.checked_sub(1).and_then(text);
        // `pub use`, or `pub(crate) use`.
        let public = matches!(before, Some("pub" | ")"));
        let mut found = Vec::new();
        tree(tokens, at + 1, &[], &mut found);
        for (_, mut path) in found {
            if path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            if let Some(name) = path.last().cloned() {
                imports.push(Import { name, path, public });
            }
        }
    }
    imports
}

/// Reads one path, with its branches, from `at`; returns where it ends.
fn tree(
    tokens: &[(usize, String)],
    at: usize,
    before: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = before.to_vec();
    let mut at = at;
    let mut line = 0;
    loop {
        match tokens.get(at) {
            Some((l, token)) if is_name(token) || token == "*" => {
                line = *l;
                path.push(token.clone());
                at += 1;
            }
            Some((_, token)) if token == "{" && !path.is_empty() => {
                at += 1;
                while let Some((_, token)) = tokens.get(at) {
                    match token.as_str() {
                        "}" => return at + 1,
                        "," => at += 1,
                        "as" => at += 2,
                        _ => at = tree(tokens, at, &path, found).max(at + 1),
                    }
                }
                return at;
            }
            _ => break,
        }
        match tokens.get(at) {
            Some((_, token)) if token == "::" => at += 1,
            _ => break,
        }
    }
    if path.len() > before.len() {
        found.push((line, path));
    }
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::`, and single characters, each with its line.
fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let length = if first.is_alphanumeric() || first == '_' {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            let (token, after) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push((number + 1, token.to_owned()));
            }
            rest = after;
        }
    }
    tokens
}

fn blank(code: &str) -> String {
    code.chars().map(|c| if c == '\n' { c } else { ' ' }).collect()
}

/// Blanks every item under `#[cfg(test)]`, to its closing brace or semicolon.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut product = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let (before, item) = rest.split_at(start);
        product.push_str(before);
        let (item, after) = item.split_at(item_end(item));
        product.push_str(&blank(item));
        rest = after;
    }
    product.push_str(rest);
    product
}

/// Where the first item of a text ends: after its matching brace, or its semicolon if that comes
/// before any brace.
fn item_end(item: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in item.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    item.len()
}

/// Blanks comments and the insides of strings and character literals; keeps lines where they are.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            string(rest)
        } else if first == 'r' && raw_hashes(rest).is_some() && !ends_in_name(&code) {
            raw_string(rest)
        } else if first == '\'' {
            character(rest)
        } else {
            code.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        };
        let (skipped, after) = rest.split_at(length);
        code.push_str(&blank(skipped));
        rest = after;
    }
    code
}

fn ends_in_name(code: &str) -> bool {
    code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_hashes(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.chars().take_while(|c| *c == '#').count();
    after.get(hashes..)?.starts_with('"').then_some(hashes)
}

fn raw_string(text: &str) -> usize {
    let hashes = raw_hashes(text).unwrap_or_default();
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    text.get(start..).and_then(|inside| inside.find(&end)).map_or(text.len(), |at| start + at + end.len())
}

/// A character literal's length; 1 for the mark of a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            let escape = text.get(3..).and_then(|rest| rest.find('\''));
            escape.map_or(1, |at| at + 4)
        }
        Some((_, _)) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1,
        },
        None => 1,
    }
}
