//! Resources as they are collected, each with the line of the bill that pays for it.

use serde_json::{Map, Value, json};

/// Who pays for a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// This line of the bill.
    Line(usize),
    /// Nobody: it costs nothing.
    Free,
    /// Nobody in the plan, though it costs; what, for people.
    Extra(String),
}

/// One resource.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    /// The file it belongs to: `network`, `machines`, `entry`, `storage`.
    pub(crate) file: &'static str,
    /// `aws_instance`.
    pub(crate) kind: &'static str,
    /// `web_a1`.
    pub(crate) name: String,
    pub(crate) body: Value,
    pub(crate) origin: Origin,
}

/// Everything of one export.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stack {
    pub(crate) resources: Vec<Resource>,
    /// Settings of the provider itself.
    pub(crate) provider: Value,
    /// What the tool needs of the provider: `source`, `version`.
    pub(crate) required: Value,
    /// What whoever applies it must or may say.
    pub(crate) variables: Map<String, Value>,
    /// What it tells afterwards.
    pub(crate) outputs: Map<String, Value>,
    /// Texts that several resources use.
    pub(crate) locals: Map<String, Value>,
    /// Reasons why a line is not made.
    pub(crate) not_made: Vec<(usize, String)>,
    /// More to know, for people.
    pub(crate) notes: Vec<String>,
    /// The script that puts secrets and programs where machines fetch them.
    pub(crate) upload: String,
}

/// Collects resources of one file.
pub(crate) struct Sheet<'s> {
    stack: &'s mut Stack,
    file: &'static str,
}

impl Stack {
    /// Resources that are added there come into `file`.
    pub(crate) fn sheet(&mut self, file: &'static str) -> Sheet<'_> {
        Sheet { stack: self, file }
    }

    /// A variable with a default, or one that must be given.
    pub(crate) fn variable(&mut self, name: &str, about: &str, default: Option<&str>) {
        let mut body = json!({ "type": "string", "description": about });
        if let Some(default) = default {
            body["default"] = json!(default);
        }
        self.variables.insert(name.to_owned(), body);
    }

    /// Refuses values of `name` that do not match `pattern`.
    pub(crate) fn validate(&mut self, name: &str, pattern: &str, message: &str) {
        if let Some(body) = self.variables.get_mut(name) {
            let condition = format!("${{can(regex(\"{pattern}\", var.{name}))}}");
            body["validation"] = json!([{ "condition": condition, "error_message": message }]);
        }
    }

    /// The line that `resource` (`aws_instance.web_a1`) is paid by.
    pub(crate) fn of_line(&self, line: usize) -> impl Iterator<Item = String> {
        let mine = self.resources.iter().filter(move |resource| resource.origin == Origin::Line(line));
        mine.map(|resource| format!("{}.{}", resource.kind, resource.name))
    }
}

impl Sheet<'_> {
    pub(crate) fn add(&mut self, kind: &'static str, name: &str, origin: Origin, body: Value) {
        self.stack.resources.push(Resource { file: self.file, kind, name: name.to_owned(), body, origin });
    }

    /// One that costs nothing.
    pub(crate) fn free(&mut self, kind: &'static str, name: &str, body: Value) {
        self.add(kind, name, Origin::Free, body);
    }
}

/// `${aws_vpc.main.id}`.
pub(crate) fn at(kind: &str, name: &str, attribute: &str) -> String {
    format!("${{{kind}.{name}.{attribute}}}")
}

/// `text` as a literal of Terraform: what it would fill in stays as it is.
pub(crate) fn literal(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}
