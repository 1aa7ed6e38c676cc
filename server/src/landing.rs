//! The page behind an invitation's link, for people who click on it.
//!
//! Decides what it says: how to install and what to run. It has no script, loads nothing, and is
//! the same for every name, founded or not; the link's secret part stays in the browser's address
//! bar.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>You are invited</title>
<h1>You are invited</h1>
<p>Somebody invites you, or a new device of yours, to an organisation on this server. Opening this page changed nothing.</p>
<ol>
<li>Have <code>parsecd</code> and <code>parsecctl</code> installed on the device you want to use. Whoever invited you can tell you where
to get them.</li>
<li>Copy this page's whole address, with everything behind the <code>#</code>. It is the invitation: show it to nobody else.</li>
<li>In a command window, run <pre>parsecctl claim</pre> and paste the address you copied when it asks for the link.</li>
<li>Then be on the phone with the person who invited you. Each of you will read four characters out loud, and the other will
look for them on the screen. If they are not there, say so and stop.</li>
</ol>
<p>This page can't do any of it for you, and a page that asks you for a code or a password is not part of this.</p>
</html>
"#;

/// The page, whatever the method was.
pub(crate) fn page() -> Response {
    let mut response = Response::new(Body::from(PAGE));
    let headers: [(HeaderName, &'static str); 8] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        (HeaderName::from_static("x-frame-options"), "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_runs_and_loads_nothing() {
        for hostile in ["<script", "src=", "href=", "<form", "<img", "<link", "onload", "style"] {
            assert!(!super::PAGE.contains(hostile), "{hostile}");
        }
        assert!(super::PAGE.contains("<pre>parsecctl claim</pre>"));
    }
}
