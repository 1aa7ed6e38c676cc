//! The page behind an invitation's link, and the list of what can be installed from here.
//!
//! Decides what a browser gets and what it may do with it: show it, and run the one script that
//! stands in it, by its hash. It loads nothing, from here or elsewhere, and says the same for every
//! name, founded or not. The link's secret part stays in the browser: it is behind the `#`, which
//! is in no request, and the script puts it into the `parsec:` link and onto the clipboard alone.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base64ct::{Base64, Encoding as _};
use parsec_protocol::ids::OrganisationId;
use parsec_protocol::public_keys::Hash;

use super::markup::{escaped, numbered, ways as marked};
use super::{BEWARE, CLAIM, phone, ways};
use crate::install::{Listed, Offers};

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// What the pages may do. The two hashes are of what stands in them: nothing that somebody else got
/// into a page would run.
static POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let hash = |text: &str| Base64::encode_string(Hash::of(&[text.as_bytes()]).as_bytes());
    let (script, style) = (hash(SCRIPT), hash(STYLE));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    HeaderValue::try_from(policy).ok()
});
/// Where a policy could not be made of the hashes, nothing runs.
const NOTHING: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page behind a link, whatever the method was.
pub(crate) fn landing(organisation: &OrganisationId, offers: &Offers, base: &str) -> Response {
    let name = escaped(organisation.as_str());
    let body = format!(
        "<h1>You are invited to {name}</h1>\n\
         <p>The person who sent you this link invites you, or a new device of yours, to the organisation <b>{name}</b>. \
         Opening this page changed nothing.</p>\n\
         <p>You need a computer with Linux, a phone, and some ten minutes. If you read this on a phone, open the link on \
         that computer.</p>\n\
         <h2>1. Install Parsec</h2>\n{ways}\
         <h2>2. Agree on a call</h2>\n\
         <p>Agree with the person who invited you on a time for a phone or video call. You have to hear each other, to \
         know that it is them.</p>\n\
         <h2>3. Start</h2>\n\
         <p class=\"note\" id=\"incomplete\" role=\"alert\" hidden>The invitation is missing: this address has nothing, or \
         not all, behind the <code>#</code>. Open the whole link, as it was sent to you.</p>\n\
         <div class=\"buttons\" id=\"buttons\" hidden>\n\
         <a class=\"button\" id=\"open\" hidden>Open in Parsec</a>\n\
         <button class=\"button\" id=\"copy\" type=\"button\">Copy the invitation</button>\n\
         </div>\n\
         <p id=\"opens\" hidden>The first button works where Parsec is installed.</p>\n\
         <p id=\"said\" role=\"status\"></p>\n\
         <p>By hand:</p>\n\
         <ol>\n\
         <li>Copy this page's whole address, with everything behind the <code>#</code>. It is the invitation: show it to \
         nobody else.</li>\n\
         <li>On the computer that you want to use, run this in a terminal: <pre>{CLAIM}</pre> and paste the address when \
         it asks for the link.</li>\n\
         </ol>\n\
         <h2>What will happen on the phone</h2>\n{phone}\
         <p>{beware}</p>\n\
         <script>{SCRIPT}</script>\n",
        ways = marked(&ways(offers, base)),
        phone = numbered(&phone("the person who invited you")),
        beware = escaped(BEWARE),
    );
    page(StatusCode::OK, &format!("You are invited to {name}"), &body)
}

/// What can be installed from here: no more than what is there.
pub(crate) fn files(files: &[Listed]) -> Response {
    let one = |file: &Listed| {
        let (name, bytes) = (escaped(file.name.as_str()), file.bytes);
        format!("<li><a href=\"/install/{name}\">{name}</a> ({bytes} bytes)</li>\n")
    };
    let list: String = files.iter().map(one).collect();
    let body = if list.is_empty() {
        "<h1>Programs</h1>\n<p>There is nothing here yet.</p>\n".to_owned()
    } else {
        format!("<h1>Programs</h1>\n<ul>\n{list}</ul>\n")
    };
    page(StatusCode::OK, "Programs", &body)
}

/// No file of this name is offered, or nothing is.
pub(crate) fn no_such_file() -> Response {
    let body = "<h1>There is no such file</h1>\n<p><a href=\"/install/\">What there is</a></p>\n";
    page(StatusCode::NOT_FOUND, "There is no such file", body)
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n\
         <body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    );
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = status;
    let fixed: [(HeaderName, &'static str); 7] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone().unwrap_or(HeaderValue::from_static(NOTHING)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn text(response: Response) -> String {
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_page_loads_nothing_and_runs_its_own_script_alone() {
        let response = landing(&"acme".parse().unwrap(), &Offers::Unknown, "https://parsec.example.org");
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        for hostile in ["unsafe", "http", "*", "data:", "'self'"] {
            assert!(!policy.contains(hostile), "{hostile}: {policy}");
        }
        let page = text(response).await;
        for hostile in
            ["src=", "<form", "<img", "<link", "<iframe", "onload", "onclick", "style=", "url(", "@import"]
        {
            assert!(!page.contains(hostile), "{hostile}");
        }
        assert_eq!(page.matches("<script>").count(), 1);
        assert!(page.contains("<pre>parsecctl claim</pre>") && page.contains("invited to acme"));
    }

    /// The fragment is the invitation. What the script does with it is read here, since a browser
    /// sees what a script asks for and not what it could.
    #[test]
    fn the_script_has_no_way_to_send_anything() {
        for way in [
            "fetch",
            "XMLHttp",
            "sendBeacon",
            "WebSocket",
            "EventSource",
            "import",
            "Worker",
            "innerHTML",
            "eval",
            "Image",
            "document.cookie",
            "Storage",
            "postMessage",
            "window.open",
            "location.href =",
            "replaceState",
        ] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
        // What would end the element, or its hash, where it stands in a page.
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains('\r') && !STYLE.contains("</"));
    }
}
