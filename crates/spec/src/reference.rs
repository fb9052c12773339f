//! The table of fields as a page for people, `docs/reference/file.md`.

use crate::field::{Field, Kind, Presence, Status};
use crate::parts::Parts;
use crate::table;
use crate::value;

const HEAD: &str = "# The file\n\n\
One YAML 1.2 file, `evenkeel.yaml`. Only `name` and `services` are needed; `plan` prints every default that was used\n\
with its reason. Unknown and duplicate keys, anchors, tags, merge keys and second documents are errors. `evenkeel check`\n\
shows every mistake at once, `evenkeel explain CODE` says more, and `evenkeel export schema` prints the JSON Schema.\n\n\
In a path `*` stands for a name of yours and `[]` for an entry of a list. Sizes are binary, as in compose: `512M` is\n\
512 MiB. Keys marked *not run* are checked and then reported as a note: this version does not carry them out.\n\n\
Commands and values of environment variables may hold holes. `$$` is a plain `$`; nothing of the shell that starts evenkeel is\n\
read.\n\n\
| hole | stands for |\n|---|---|\n\
| `${port}`, `${address}` | where this replica must listen |\n\
| `${zone}`, `${unit}` | its zone; its own name, such as `web-2` |\n\
| `${data}` | a folder of its own on its machine, which outlives its process and not the machine |\n\
| `${NAME.url}` | in `environment` alone: how to reach that database, `postgres://USER:PASSWORD@HOST:PORT,../NAME?..` with the data front of each zone, the own zone's first (libpq and most drivers take several hosts) |\n\
| `${secret.NAME}` | *not run* |\n\n\
<!-- made from the table of fields: EVENKEEL_BLESS=1 cargo test -p spec -->\n";

/// The reference page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut not_run_below: Option<String> = None;
    table::each(&mut |path, field| {
        if !path.contains(['.', '[']) {
            page.push_str(&format!(
                "\n## `{path}`\n\n| key | value | left out | meaning |\n|---|---|---|---|\n"
            ));
        }
        if not_run_below.as_ref().is_some_and(|above| !path.starts_with(above.as_str())) {
            not_run_below = None;
        }
        let marked = !field.status.runs(Parts::BUILT) && not_run_below.is_none();
        if !field.status.runs(Parts::BUILT) {
            not_run_below.get_or_insert_with(|| format!("{path}."));
        }
        page.push_str(&row(path, field, marked));
    });
    page
}

fn row(path: &str, field: &Field, marked: bool) -> String {
    let left_out = match field.presence {
        Presence::Required => "**needed**".to_owned(),
        Presence::Optional => "-".to_owned(),
        Presence::Implied => "its defaults".to_owned(),
        Presence::Fixed("", _) => "none".to_owned(),
        Presence::Fixed(value, _) => format!("`{value}`"),
        Presence::Derived(how) => how.to_owned(),
    };
    let mark = match (marked, field.status) {
        (false, _) => "",
        (true, Status::Planned) => "*Planned and priced, not run.* ",
        (true, _) => "*Not run.* ",
    };
    format!(
        "| `{path}` | {} | {} | {mark}{} |\n",
        escaped(&describe(&field.kind)),
        escaped(&left_out),
        escaped(field.help)
    )
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Integer { min, max } => format!("whole number, {min} to {max}"),
        Kind::Count { min, max, word } => format!("whole number, {min} to {max}, or `{word}`"),
        Kind::Number { min, max } => format!("number, {min} to {max}"),
        Kind::Bytes { min, max } => format!("size, {} to {}", model::Bytes(*min), model::Bytes(*max)),
        Kind::Duration { min, max } => {
            format!("duration, {} to {}", model::Duration(*min), model::Duration(*max))
        }
        Kind::Rate { min, max } => format!("rate, {} to {}", model::Rate(*min), model::Rate(*max)),
        Kind::Word(words) => {
            let all: Vec<String> = words.words.iter().map(|word| format!("`{word}`")).collect();
            all.join(", ")
        }
        Kind::List(of) => format!("list of: {}", describe(&of.item.kind)),
        Kind::Map(of) => format!("table of names, each: {}", describe(&of.item.kind)),
        Kind::Table(_) => "table".to_owned(),
        Kind::Name => "a name: lower-case letters, digits, `-`".to_owned(),
        Kind::Template { .. } => "text; `${port}` and others".to_owned(),
        other => value::expected(other).to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
