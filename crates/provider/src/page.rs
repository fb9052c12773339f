//! From resources to files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use model::{Run, Service};
use serde_json::{Value, json};

use crate::bill::{Item, Layer};
use crate::boot;
use crate::cloudformation::Template;
use crate::export::{Export, Extra, LineMade};
use crate::layout::{self, Layout};
use crate::stack::{Origin, Stack};

/// The sentence that stands at the head of each file.
fn head(layout: &Layout<'_>) -> String {
    let plan = layout.plan;
    format!("{} on {} {}, made by evenkeel {}", plan.app, plan.provider, plan.region, layout.options.version)
}

/// The files of Terraform.
pub(crate) fn terraform(layout: &Layout<'_>, stack: Stack) -> Export {
    let mut main = json!({
        "//": head(layout),
        "terraform": { "required_version": ">= 1.5.0", "required_providers": stack.required },
        "provider": stack.provider,
        "variable": stack.variables,
        "locals": stack.locals,
    });
    if !stack.outputs.is_empty() {
        main["output"] = Value::Object(stack.outputs.clone());
    }
    let mut files = BTreeMap::new();
    let mut sheets: BTreeMap<&str, Kinds<'_>> = BTreeMap::new();
    let mut all = Kinds::new();
    for resource in &stack.resources {
        for kinds in [sheets.entry(resource.file).or_default(), &mut all] {
            kinds.entry(resource.kind).or_default().insert(&resource.name, &resource.body);
        }
    }
    let mut whole = main.clone();
    whole["resource"] = json!(all);
    files.insert("main.tf.json".to_owned(), text(&main));
    for (file, kinds) in sheets {
        files.insert(format!("{file}.tf.json"), text(&json!({ "//": head(layout), "resource": kinds })));
    }
    files.insert("upload.sh".to_owned(), stack.upload.clone());
    let mut export = told(layout, &stack);
    files.insert("README.md".to_owned(), readme(layout, &export, &asked(&stack), TERRAFORM));
    export.files = files;
    export.whole = text(&whole);
    export
}

/// The files of CloudFormation.
pub(crate) fn cloudformation(layout: &Layout<'_>, template: Template) -> Export {
    let mut export = told(layout, &template.stack);
    let whole = text(&template.document(&head(layout)));
    export.files.insert("template.json".to_owned(), whole.clone());
    export.files.insert("upload.sh".to_owned(), template.stack.upload.clone());
    let page = readme(layout, &export, &asked(&template.stack), CLOUDFORMATION);
    export.files.insert("README.md".to_owned(), page);
    export.whole = whole;
    export
}

/// Resources by type and name.
type Kinds<'r> = BTreeMap<&'r str, BTreeMap<&'r str, &'r Value>>;

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

fn told(layout: &Layout<'_>, stack: &Stack) -> Export {
    let lines = layout.plan.lines.iter().zip(&layout.items).enumerate().map(|(index, (line, item))| {
        let mut resources: Vec<String> = stack.of_line(index).collect();
        let said = stack.not_made.iter().find(|(line, _)| *line == index).map(|(_, why)| why.clone());
        let not_applied = said.or_else(|| not_applied(layout, index, item, &resources));
        if let Item::Disk { parts, .. } = item {
            // The disk that a system runs from is a part of its machine.
            let with =
                layout.machines.iter().filter(|machine| machine.parts == *parts).map(|machine| machine.line);
            let lines: BTreeSet<usize> = with.collect();
            resources.extend(lines.into_iter().flat_map(|line| stack.of_line(line)));
        }
        if *item == Item::EntryUse && not_applied.is_none() {
            // Its price is that of the use of the balancer above.
            resources = entry_line(layout).map(|line| stack.of_line(line).collect()).unwrap_or_default();
        }
        if *item == Item::Addresses && !resources.is_empty() && layout.plan.provider != "gcp" {
            // One in each zone is the balancer's, and comes with it.
            resources.extend(entry_line(layout).into_iter().flat_map(|line| stack.of_line(line)));
        }
        if resources.is_empty() && not_applied.is_none() {
            // Addresses that come with what they are of, and answers through the entry.
            let with = match item {
                Item::Addresses => {
                    layout.items.iter().position(|item| *item == Item::Nat).or(entry_line(layout))
                }
                Item::Answers => entry_line(layout),
                _ => None,
            };
            resources = with.map(|line| stack.of_line(line).collect()).unwrap_or_default();
        }
        LineMade { item: line.item.clone(), usd_month: line.usd_month.usd(), resources, not_applied }
    });
    let mut extra: Vec<Extra> = Vec::new();
    for resource in &stack.resources {
        let Origin::Extra(what) = &resource.origin else { continue };
        let id = format!("{}.{}", resource.kind, resource.name);
        match extra.iter_mut().find(|known| known.what == *what) {
            Some(known) => known.resources.push(id),
            None => extra.push(Extra { what: what.clone(), resources: vec![id] }),
        }
    }
    let mut notes = layout.notes.clone();
    notes.extend(stack.notes.iter().cloned());
    notes.extend(general(layout, stack));
    Export { files: BTreeMap::new(), whole: String::new(), lines: lines.collect(), extra, notes }
}

fn entry_line(layout: &Layout<'_>) -> Option<usize> {
    layout.entry.as_ref().map(|entry| entry.line)
}

/// Why a cache is on no machine.
const UNKEPT: &str = "this version plans caches and does not run them";

fn not_applied(layout: &Layout<'_>, index: usize, item: &Item, resources: &[String]) -> Option<String> {
    match item {
        Item::Other => Some("this version makes nothing of it".to_owned()),
        Item::Nat | Item::Addresses => (!layout.needs_nat())
            .then(|| "the image is prepared: no NAT gateway, and no address of one, is made".to_owned()),
        Item::Answers | Item::Between => None,
        Item::EntryUse => layout.entry.is_none().then(|| "there is no entry".to_owned()),
        Item::Machines { parts, .. } => {
            let kept = parts.iter().any(|part| layout::is_cache(layout.plan, part));
            kept.then(|| UNKEPT.to_owned()).or_else(|| layout::idle(layout, index))
        }
        Item::Disk { parts, .. } if parts.iter().all(|part| layout::is_cache(layout.plan, part)) => {
            Some(UNKEPT.to_owned())
        }
        Item::Disk { parts, .. } => {
            let there = layout.machines.iter().any(|machine| machine.parts == *parts);
            (!there).then(|| "there is no machine that it could be in".to_owned())
        }
        Item::Entry(_) => resources.is_empty().then(|| "nothing comes in from outside".to_owned()),
    }
}

/// That a program is not in what machines are given. One without a `/` is looked for in their `PATH`.
fn outside(service: &Service) -> Option<String> {
    let Run::Command(words) = &service.run else { return None };
    let program = words.first()?.to_string();
    let mut depth = 0_i32;
    let leaves = program.split('/').any(|part| {
        depth += match part {
            "" | "." => 0,
            ".." => -1,
            _ => 1,
        };
        depth < 0
    });
    let name = &service.name;
    if program.starts_with('/') {
        return Some(format!("`{name}` is started by `{program}`: that must be on the machines' image"));
    }
    leaves.then(|| {
        format!(
            "`{name}` cannot start: `{program}` is outside of the file's folder, and machines get that folder alone; put the program into it"
        )
    })
}

/// What is to be known of every export.
fn general(layout: &Layout<'_>, stack: &Stack) -> Vec<String> {
    let plan = layout.plan;
    let mut notes: Vec<String> =
        plan.services.iter().filter_map(|planned| outside(&planned.service)).collect();
    let idle = layout.machines.iter().filter(|machine| !machine.agent);
    let idle_usd: f64 =
        idle.filter_map(|machine| plan.lines.get(machine.line)).map(|line| line.unit_usd).sum();
    if idle_usd > 0.0 {
        notes.push(format!(
            "{idle_usd:.2} USD a month of the bill are machines that run nothing in this version: all of a zone runs on one machine, which carries what one carries, so the plan's peak and objectives are not kept"
        ));
    }
    notes.extend([
        format!(
            "agents are called {}: the file that is handed out must say `zones: {}` in `placement`",
            layout.zones.iter().map(|zone| zone.letter.to_string()).collect::<Vec<_>>().join(" "),
            layout.zones.len()
        ),
        "nobody can log in to a machine: no port is open for it, and its role may read one bucket and nothing else; a way in is yours to add, in a file of your own".to_owned(),
        "machines that already run take no changed file and no new program in this version: replace them one at a time".to_owned(),
    ]);
    let made = |entry: &&crate::layout::Entry| stack.of_line(entry.line).next().is_some();
    if layout.entry.as_ref().filter(made).is_some_and(|entry| entry.layer == Layer::Network) {
        notes.push(
            "this balancer carries no TLS, and fronts of this version speak none: put TLS in front of it"
                .to_owned(),
        );
    }
    if layout.entry.as_ref().filter(made).is_some() {
        notes.push(
            "fronts of this version have no rate limit and no web application firewall: whatever the internet sends gets through"
                .to_owned(),
        );
    }
    if !plan.databases.is_empty() {
        notes.push("this version writes no backups: the bucket for them stays empty".to_owned());
    }
    notes
}

const TERRAFORM: &str = "\
1. `terraform init`, then `terraform apply`: it asks for each variable below that has no default, unless `terraform.tfvars` here
   gives it (`bucket_suffix = \"..\"`), and shows what it would make.
2. `./upload.sh @STATE@ path/to/evenkeel path/to/application`: machines wait for what it uploads. The secrets of this
   run are in the state folder's `identity`, which `evenkeel export` made if it was missing; they are in no file here, in no
   user data and not in Terraform's state, and arrive through the private bucket, which machines read by their own role.
3. Point your domain to `terraform output entry`.

One machine at a time: `terraform apply -replace=RESOURCE`, the next one when `status` shows everything healthy. The store's data
is on the disk for databases; **where a machine has none, it is lost with the machine**, and the new member is refused until the
old one was taken out of etcd by hand (`etcdctl member remove`, `member add`). A changed image or script alone renews no machine,
since all of them would stop at once. Disks of databases, and buckets, are kept from being destroyed (`prevent_destroy`).
";

const CLOUDFORMATION: &str = "\
1. `aws cloudformation deploy --template-file template.json --stack-name NAME --capabilities CAPABILITY_NAMED_IAM
   --parameter-overrides @PARAMETERS@`, with the parameters below; a template above 51,200 bytes needs `--s3-bucket` too.
2. `STACK=NAME ./upload.sh @STATE@ path/to/evenkeel path/to/application`: machines wait for what it uploads. The secrets
   of this run are in the state folder's `identity`, which `evenkeel export` made if it was missing; they are in no file here
   and in no user data, and arrive through the private bucket, which machines read by their own role.
3. Point your domain to the stack's output `Entry`.

Disks of databases, and buckets, outlive the stack (`DeletionPolicy: Retain`).
";

/// A variable of Terraform, or a parameter of CloudFormation.
struct Asked<'s> {
    name: &'s str,
    about: String,
    default: Option<String>,
}

/// What whoever applies the files must or may say; what must be said first.
fn asked(stack: &Stack) -> Vec<Asked<'_>> {
    // Terraform's words are lower-case, CloudFormation's are not.
    let text = |body: &Value, words: [&str; 2]| {
        words.into_iter().find_map(|word| body.get(word)).and_then(Value::as_str).map(str::to_owned)
    };
    let mut all: Vec<Asked<'_>> = stack
        .variables
        .iter()
        .map(|(name, body)| Asked {
            name,
            about: text(body, ["description", "Description"]).unwrap_or_default(),
            default: text(body, ["default", "Default"]),
        })
        .collect();
    all.sort_by_key(|asked| asked.default.is_some());
    all
}

fn readme(layout: &Layout<'_>, export: &Export, asked: &[Asked<'_>], steps: &str) -> String {
    let plan = layout.plan;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let state = layout.options.state.as_str();
    let state = if state.chars().all(plain) { state.to_owned() } else { boot::quoted(state) };
    let given: Vec<String> = asked
        .iter()
        .filter(|asked| asked.default.is_none())
        .map(|asked| format!("{}=..", asked.name))
        .collect();
    let steps = steps.replace("@STATE@", &state).replace("@PARAMETERS@", &given.join(" "));
    let mut page = format!(
        "# {}\n\n{} USD a month by the plan's bill.\n\n## What to do\n\n{steps}",
        head(layout),
        plan.usd_month
    );
    page.push_str("\n## What is asked\n\n| name | what | default |\n|---|---|---|\n");
    for Asked { name, about, default } in asked {
        let default =
            default.as_ref().map_or_else(|| "none: yours to give".to_owned(), |value| format!("`{value}`"));
        let _ = writeln!(page, "| `{name}` | {about} | {default} |");
    }
    page.push_str("\n## The bill, and what is made of it\n\n| line | USD a month | made | not applied by evenkeel |\n|---|---|---|---|\n");
    for line in &export.lines {
        let made = match (line.resources.is_empty(), &line.not_applied) {
            (true, None) => "nothing: the machines send it to each other".to_owned(),
            _ => line.resources.join(", "),
        };
        let not = line.not_applied.as_deref().unwrap_or("");
        let _ = writeln!(page, "| {} | {:.2} | {made} | {not} |", line.item, line.usd_month);
    }
    page.push_str("\n## What costs beyond the bill\n\n| what | made |\n|---|---|\n");
    for extra in &export.extra {
        let _ = writeln!(page, "| {} | {} |", extra.what, extra.resources.join(", "));
    }
    page.push_str(
        "\nAnd what machines fetch and send beside answers and the logs of databases.\n\n## To know\n\n",
    );
    for note in &export.notes {
        let _ = writeln!(page, "- {note}");
    }
    page
}
