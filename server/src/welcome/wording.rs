//! The mail of an invitation: the same words as text and as HTML.
//!
//! Decides what stands in it. The HTML loads nothing and runs nothing; its one button is the link
//! itself. A paragraph of the text is one line, which every program breaks where its window ends.

use parsec_protocol::ids::{Email, OrganisationId};

use super::markup::{escaped, numbered, ways as marked};
use super::{BEWARE, Block, CLAIM, Way, phone, ways};
use crate::install::Offers;

/// Who is invited, for the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Somebody else.
    Person,
    /// Another device of the inviter's own.
    OwnDevice,
}

/// What a mail is about.
pub(crate) struct Wording<'a> {
    pub(crate) organisation: &'a OrganisationId,
    pub(crate) whom: Whom,
    pub(crate) by: &'a Email,
    pub(crate) link: &'a str,
    pub(crate) offers: &'a Offers,
    /// This server's address, without a slash at its end.
    pub(crate) base: &'a str,
}

const NEEDS: &str = "You need a computer with Linux, a phone, and some ten minutes. If you read this on a phone, open it on that computer for the steps below.";
const KEEP: &str = "Keep this mail to yourself: the link is your invitation. Opening it in a browser only shows these steps.";

/// Colours and distances, for programs that take them. Nothing is loaded.
const STYLE: &str = "\
body{margin:0;padding:16px;font-family:system-ui,sans-serif;font-size:16px;line-height:1.5;color:#1b1b1b;background:#fff}
main{max-width:38em;margin:0 auto}
h1{font-size:22px;line-height:1.25;margin:0 0 12px}
h2{font-size:18px;margin:28px 0 8px}
h3{font-size:16px;margin:16px 0 4px}
p{margin:8px 0}
ol{padding-left:1.5em;margin:8px 0}
li{margin:6px 0}
pre{margin:8px 0;padding:12px;border-radius:6px;background:#f0f1f3;font-size:14px;white-space:pre-wrap;overflow-wrap:anywhere}
pre code{display:block;padding-left:1.5em;text-indent:-1.5em}
a{color:#0b57a4;overflow-wrap:anywhere}
a.button{display:inline-block;padding:12px 20px;border-radius:6px;background:#0b57a4;color:#fff;text-decoration:none;font-weight:600}
@media (prefers-color-scheme:dark){
body{color:#e8e8e8;background:#16181b}
pre{background:#25282d}
a{color:#8ec5ff}
a.button{background:#8ec5ff;color:#10151b}
}
";

/// Commands, set apart from what people read.
fn indented(lines: &[String]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

impl Wording<'_> {
    /// The subject: nothing of it is anybody's free words.
    pub(crate) fn subject(&self) -> String {
        match self.whom {
            Whom::Person => format!("Your invitation to {}", self.organisation),
            Whom::OwnDevice => format!("Your new device in {}", self.organisation),
        }
    }

    fn opening(&self) -> String {
        let Self { organisation, by, .. } = self;
        match self.whom {
            Whom::Person => format!("{by} invites you to the organisation \"{organisation}\"."),
            Whom::OwnDevice => {
                format!("You, {by}, want to add a device to the organisation \"{organisation}\".")
            }
        }
    }

    fn who(&self) -> String {
        match self.whom {
            Whom::Person => self.by.to_string(),
            Whom::OwnDevice => "your other device".to_owned(),
        }
    }

    fn call(&self) -> String {
        match self.whom {
            Whom::Person => format!(
                "Agree with {} on a time for a phone or video call. You have to hear each other, to know that it is them.",
                self.by
            ),
            Whom::OwnDevice => {
                "Have your other device beside you. You compare what the two screens show, yourself."
                    .to_owned()
            }
        }
    }

    fn unexpected(&self) -> String {
        format!("If you did not expect it, ask {}, or do nothing.", self.by)
    }

    /// As text. All that varies was checked where it came in: addresses and names hold no line
    /// break, the link only base64url.
    pub(crate) fn text(&self) -> String {
        let mut parts =
            vec!["Hello,".to_owned(), self.opening(), NEEDS.to_owned(), "1. INSTALL PARSEC".to_owned()];
        for Way { title, blocks } in ways(self.offers, self.base) {
            parts.push(format!("{title}:"));
            parts.extend(blocks.into_iter().map(|block| match block {
                Block::Text(text) | Block::Address(text) => text,
                Block::Commands(lines) => indented(&lines),
            }));
        }
        let steps: Vec<_> =
            (1..).zip(phone(&self.who())).map(|(number, step)| format!("{number}. {step}")).collect();
        parts.extend([
            "2. AGREE ON A CALL".to_owned(),
            self.call(),
            "3. START".to_owned(),
            "Run this, in a terminal on that computer:".to_owned(),
            indented(&[CLAIM.to_owned()]),
            "and paste this link, all of it, when you are asked for it:".to_owned(),
            self.link.to_owned(),
            "WHAT WILL HAPPEN ON THE PHONE".to_owned(),
            steps.join("\n"),
            BEWARE.to_owned(),
            format!("{KEEP} {}", self.unexpected()),
        ]);
        parts.join("\n\n") + "\n"
    }

    /// As HTML.
    pub(crate) fn html(&self) -> String {
        let (organisation, link) = (escaped(self.organisation.as_str()), escaped(self.link));
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{subject}</title>\n<style>\n{STYLE}</style>\n\
             </head>\n<body>\n<main>\n<h1>{heading} {organisation}</h1>\n<p>{opening}</p>\n<p>{needs}</p>\n\
             <h2>1. Install Parsec</h2>\n{ways}\
             <h2>2. Agree on a call</h2>\n<p>{call}</p>\n\
             <h2>3. Start</h2>\n<p>On that computer, open your invitation:</p>\n\
             <p><a class=\"button\" href=\"{link}\">Open the invitation</a></p>\n\
             <p>Or run this in a terminal:</p>\n<pre>{CLAIM}</pre>\n\
             <p>and paste this link, all of it, when you are asked for it:</p>\n<pre>{link}</pre>\n\
             <h2>What will happen on the phone</h2>\n{phone}\
             <p>{beware}</p>\n<p>{keep} {unexpected}</p>\n</main>\n</body>\n</html>\n",
            subject = escaped(&self.subject()),
            heading = match self.whom {
                Whom::Person => "You are invited to",
                Whom::OwnDevice => "Your new device in",
            },
            opening = escaped(&self.opening()),
            needs = escaped(NEEDS),
            ways = marked(&ways(self.offers, self.base)),
            call = escaped(&self.call()),
            phone = numbered(&phone(&self.who())),
            beware = escaped(BEWARE),
            keep = escaped(KEEP),
            unexpected = escaped(&self.unexpected()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINK: &str = "https://parsec.example.org/join/acme#hQEAUA";

    /// Both forms of the mail by which this address invites somebody.
    fn forms(by: &str) -> [String; 2] {
        let (organisation, by, offers) = ("acme".parse().unwrap(), by.parse().unwrap(), Offers::Unknown);
        let wording = Wording {
            organisation: &organisation,
            whom: Whom::Person,
            by: &by,
            link: LINK,
            offers: &offers,
            base: "https://x",
        };
        [wording.text(), wording.html()]
    }

    #[test]
    fn both_forms_name_who_invites_what_to_run_and_what_happens() {
        for said in forms("alice@example.org") {
            for words in [
                "alice@example.org invites you",
                "parsecctl claim",
                LINK,
                "four characters",
                "Whoever invited you",
            ] {
                assert!(said.contains(words), "{words}: {said}");
            }
            // No link stands in a command: other users of the machine read arguments.
            assert!(!said.contains("claim '"), "{said}");
        }
    }

    #[test]
    fn the_html_loads_and_runs_nothing() {
        let [_, html] = forms("alice@example.org");
        for hostile in
            ["<script", "src=", "url(", "@import", "<img", "<link", "<form", "<iframe", "onclick", "onload"]
        {
            assert!(!html.contains(hostile), "{hostile}");
        }
        assert_eq!(html.matches("href=").count(), 1, "the link and nothing else is one");
    }

    proptest! {
        /// Every address that is taken at all, however it looks: no element, no line of its own.
        #[test]
        fn no_address_changes_a_mail(local in "[a-z!#$%&'*+/=?^_`{|}~-]{1,30}") {
            if format!("{local}@example.org").parse::<Email>().is_ok() {
                let [plain_text, plain] = forms("alice@example.org");
                let [text, html] = forms(&format!("{local}@example.org"));
                for mark in ['<', '>', '"'] {
                    prop_assert_eq!(html.matches(mark).count(), plain.matches(mark).count());
                }
                prop_assert_eq!(text.lines().count(), plain_text.lines().count());
            }
        }
    }
}
