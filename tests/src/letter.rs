//! A mail taken apart as mail programs do it: its head, and its forms with their encodings undone.
//!
//! Refuses, by a panic, a mail that is none of ours: it knows one level of parts.

use base64ct::{Base64, Encoding as _};

/// One form of a mail's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// `text/plain` or `text/html`.
    pub media_type: String,
    /// What a program shows, with single line feeds.
    pub content: String,
}

/// The head's lines, put together where they are folded.
#[must_use]
pub fn head(mail: &str) -> Vec<String> {
    let mail = mail.replace("\r\n", "\n");
    let head = mail.split("\n\n").next().unwrap_or_default();
    head.replace("\n ", " ").replace("\n\t", " ").lines().map(str::to_owned).collect()
}

/// The forms, the plainest first.
///
/// # Panics
/// If the mail isn't one of several forms.
#[must_use]
pub fn forms(mail: &str) -> Vec<Form> {
    let head = head(mail);
    let kind =
        head.iter().find(|line| line.to_lowercase().starts_with("content-type: multipart/alternative"));
    let kind = kind.unwrap_or_else(|| panic!("one form alone: {head:?}"));
    let boundary = kind.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
    let mail = mail.replace("\r\n", "\n");
    let line = format!("--{boundary}");
    let parts = mail.split(&line).skip(1).take_while(|part| !part.starts_with("--"));
    parts.map(form).collect()
}

fn form(part: &str) -> Form {
    let (head, body) = part.trim_start_matches('\n').split_once("\n\n").unwrap();
    let field = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(name));
        line.map_or(String::new(), |line| line[name.len()..].trim().to_lowercase())
    };
    let content = match field("content-transfer-encoding:").as_str() {
        "quoted-printable" => unquoted(body),
        "base64" => String::from_utf8(Base64::decode_vec(&body.replace('\n', "")).unwrap()).unwrap(),
        _ => body.to_owned(),
    };
    let media_type = field("content-type:").split(';').next().unwrap().to_owned();
    Form { media_type, content: content.replace("\r\n", "\n") }
}

fn unquoted(body: &str) -> String {
    let body = body.replace("=\n", "");
    let mut out = Vec::new();
    let mut rest = body.as_str();
    while let Some((before, after)) = rest.split_once('=') {
        out.extend_from_slice(before.as_bytes());
        out.push(u8::from_str_radix(&after[..2], 16).unwrap());
        rest = &after[2..];
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).unwrap()
}
