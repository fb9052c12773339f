//! The page: one answer with everything in it, so that it also stands when nothing else can be fetched.

use std::fs::File;
use std::io::Read;

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

const PAGE: &str = include_str!("../assets/console.html");
const STYLE: &str = include_str!("../assets/console.css");
const SCRIPT: &str = include_str!("../assets/console.js");
const SIGN_IN: &str = include_str!("../assets/sign-in.html");

/// The console with its first picture, which is there before anything is fetched.
pub(crate) fn console(status: &str) -> Response {
    let Some(nonce) = nonce() else {
        let text = "no random numbers on this machine, so the page cannot be protected\n";
        return (StatusCode::INTERNAL_SERVER_ERROR, text).into_response();
    };
    let html = filled(
        PAGE,
        &[("style", STYLE), ("script", SCRIPT), ("nonce", &nonce), ("status", &inside_script(status))],
    );
    (policy(&nonce), html).into_response()
}

/// What somebody sees who is not signed in; `wrong` when a token was brought and is not ours.
pub(crate) fn sign_in(wrong: bool) -> Response {
    let Some(nonce) = nonce() else { return StatusCode::UNAUTHORIZED.into_response() };
    let what = if wrong { "this link is not valid (any more)" } else { "you are not signed in" };
    let html = filled(SIGN_IN, &[("style", STYLE), ("nonce", &nonce), ("what", what)]);
    (StatusCode::UNAUTHORIZED, policy(&nonce), html).into_response()
}

/// Only what carries the nonce of this answer runs; the page talks to this server alone and is framed by nobody.
fn policy(nonce: &str) -> [(HeaderName, String); 2] {
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    [(header::CONTENT_SECURITY_POLICY, policy), (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned())]
}

/// 128 random bits in hexadecimal, new for each answer; `None` when the machine gives none.
fn nonce() -> Option<String> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Puts values into `{{name}}` holes in one pass, so that no value can bring a hole of its own.
fn filled(page: &str, values: &[(&str, &str)]) -> String {
    let mut html =
        String::with_capacity(page.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = page;
    while let Some((before, tail)) = rest.split_once("{{") {
        html.push_str(before);
        let Some((name, after)) = tail.split_once("}}") else { break };
        html.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = after;
    }
    html.push_str(rest);
    html
}

/// JSON that can stand inside a `script` element: no `<` that could end it or start a comment.
fn inside_script(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_open_a_hole_or_end_a_script() {
        assert_eq!(filled("a{{x}}b{{y}}c{{z}}", &[("x", "{{y}}"), ("y", "1")]), "a{{y}}b1c");
        let json = serde_json::to_string("</script><!-- & -->").unwrap();
        let safe = inside_script(&json);
        assert!(!safe.contains(['<', '>', '&']));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), "</script><!-- & -->");
    }

    #[test]
    fn the_page_fetches_nothing_from_elsewhere() {
        for text in [PAGE, STYLE, SCRIPT, SIGN_IN] {
            for outside in ["http://", "https://", "//cdn", "@import", "url("] {
                let allowed =
                    text.matches("http://www.w3.org/2000/svg").count() + text.matches("\"http://\"").count();
                let found = text.matches(outside).count();
                assert!(found == 0 || (outside == "http://" && found == allowed), "{outside}");
            }
            assert!(!text.contains("innerHTML") && !text.contains("document.write"));
        }
    }
}
