//! `plan --html`: the plan with its pictures and reasons as one file, to be sent around, printed and kept.
//!
//! Promise: nothing is loaded from anywhere and no script runs; every text of the file is escaped; light and dark follow
//! the reader's system; a phone shows it without scrolling sideways. Pictures that must shrink are laid out by the
//! style sheet; the one that cannot be, cost against availability, is drawn twice.

mod bars;
mod chart;
mod head;
mod picture;
mod words;

use crate::explain::Explained;

/// The style, with the colours of the console.
const STYLE: &str = include_str!("report.css");

/// Text as it may stand in an element or an attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // What a terminal or a browser would act on.
            control if control.is_control() && control != '\n' => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

/// As [`escaped`], with what stands between backticks as code.
fn sentence(text: &str) -> String {
    let mut html = String::new();
    for (at, part) in text.split('`').enumerate() {
        let part = escaped(part);
        match at % 2 {
            0 => html.push_str(&part),
            _ => html.push_str(&format!("<code>{part}</code>")),
        }
    }
    html
}

/// The whole page. `made`: when, as people read it, such as `2026-11-29`.
#[must_use]
pub fn html(explained: &Explained, made: &str) -> String {
    let plan = &explained.planned.plan;
    let title = format!("{}: the plan", escaped(plan.app.as_str()));
    let body = [
        head::head(explained, made),
        words::would_do(explained),
        picture::picture(explained),
        bars::users(plan),
        bars::bill(plan),
        bars::causes(plan),
        bars::risks(plan),
        bars::outages(plan),
        bars::losses(plan),
        chart::chart(explained),
        bars::tornado(explained),
        words::words(explained),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}</body>\n</html>\n",
        body.concat()
    )
}

#[cfg(test)]
mod tests;
