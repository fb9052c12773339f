//! The command as people and scripts meet it: what it prints where, and with which code it ends. Nothing that is
//! started here lives on.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "cli/hosts.rs"]
mod hosts;
#[path = "cli/plan.rs"]
mod plan;
#[path = "cli/simulate.rs"]
mod simulate;

/// The smallest file there is: one service that listens on nothing.
const SMALL: &str = "name: x\nservices:\n  web:\n    command: [\"/bin/sleep\", \"1000\"]\n";

/// A folder of its own for one test; the space in its name is on purpose.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli {name} {}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.current_dir(&self.0).args(words).stdin(Stdio::null()).env("NO_COLOR", "1");
        command.env_remove("RUST_BACKTRACE");
        command
    }

    fn run(&self, words: &[&str]) -> Told {
        let output = self.command(words).output().unwrap();
        Told {
            words: words.join(" "),
            code: output.status.code(),
            data: String::from_utf8(output.stdout).unwrap(),
            talk: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What one call printed, and its exit code.
struct Told {
    words: String,
    code: Option<i32>,
    data: String,
    talk: String,
}

impl Told {
    #[track_caller]
    fn code(self, code: i32) -> Told {
        let Told { words, data, talk, .. } = &self;
        assert_eq!(self.code, Some(code), "`{words}`\n{data}\n{talk}");
        assert!(!talk.contains("panicked"), "`{words}`\n{talk}");
        self
    }

    /// An error a person can act on: exit code 1, nothing for scripts to misread, what is wrong, and the way out.
    #[track_caller]
    fn fails(self, what: &str, way_out: &str) {
        let told = self.code(1);
        assert_eq!(told.data, "", "`{}`", told.words);
        assert!(told.talk.lines().any(|line| line.starts_with("error")), "`{}`\n{}", told.words, told.talk);
        for text in [what, way_out] {
            assert!(told.talk.contains(text), "`{}` without `{text}`:\n{}", told.words, told.talk);
        }
    }

    #[track_caller]
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.data.lines().count(), 1, "one object on one line: {}", self.data);
        let value: serde_json::Value = serde_json::from_str(&self.data).unwrap();
        assert!(value.is_object() && value["format_version"].is_number(), "{value}");
        value
    }
}

fn shop() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop/evenkeel.yaml")
}

#[test]
fn a_slip_of_the_fingers_is_a_mistake_not_a_pending_change() {
    let folder = Folder::new("slips");
    let told = folder.run(&[]).code(1);
    assert!(told.data.is_empty() && told.talk.contains("Usage: evenkeel"), "{}", told.talk);
    // Exit code 2, clap's own, would tell a script of `plan --detailed-exitcode` that changes are pending.
    folder.run(&["plam"]).fails("unrecognized subcommand 'plam'", "'plan'");
    folder.run(&["plan", "--detailed-exit"]).fails("--detailed-exit", "--detailed-exitcode");
    folder.run(&["drill", "planet"]).fails("planet", "process, zone, front");
    folder.run(&["drill", "zone", "--duration", "0"]).fails("duration", "1..=3600");
    let version = folder.run(&["--version"]).code(0);
    assert!(version.data.starts_with("evenkeel ") && version.talk.is_empty());
    assert!(folder.run(&["up", "--help"]).code(0).data.contains("--detach"));
}

#[test]
fn check_tells_a_good_file_from_every_kind_of_bad_one() {
    let folder = Folder::new("check");
    let good = folder.run(&["check", shop()]).code(0);
    assert!(good.data.ends_with("evenkeel.yaml: valid\n"), "{}", good.data);
    folder.file("bad.yaml", "name: x\nservises: {}\n");
    folder.run(&["check", "bad.yaml"]).fails("bad.yaml:2:1", "services");
    folder.run(&["check"]).fails("cannot open `./evenkeel.yaml`", "hint: name the file");
    folder.run(&["check", "."]).fails("cannot read `.`", "directory");
    folder.file("huge.yaml", vec![b'a'; 3 << 20]);
    folder.run(&["check", "huge.yaml"]).fails("1 MiB", "is this the right file?");
    folder.file("binary.yaml", [0x7f, b'E', b'L', b'F', 0, 0xff, 0xfe]);
    folder.run(&["check", "binary.yaml"]).fails("binary.yaml:1:", "hint:");
    folder.file("empty.yaml", "");
    folder.run(&["check", "empty.yaml"]).fails("empty.yaml", "hint:");
    // A device without an end is read no further than a file may be long.
    folder.run(&["check", "/dev/zero"]).fails("/dev/zero", "hint:");
}

#[test]
fn a_file_cannot_paint_the_terminal_of_whoever_checks_it() {
    let folder = Folder::new("escape");
    folder.file("escape.yaml", "name: \"x\u{1b}[31mred\"\nfoo: 1\n");
    let told = folder.run(&["check", "escape.yaml"]).code(1);
    assert!(!told.talk.contains('\u{1b}'), "{:?}", told.talk);
}

#[test]
fn scripts_get_one_object_and_people_get_the_talk() {
    let folder = Folder::new("json");
    let check = folder.run(&["check", "--json", shop()]).code(0).json();
    assert_eq!((&check["kind"], &check["valid"]), (&"check".into(), &true.into()));
    folder.file("bad.yaml", "name: x\nservises: {}\n");
    let bad = folder.run(&["--json", "check", "bad.yaml"]).code(1).json();
    assert_eq!(
        (&bad["valid"], bad["findings"].as_array().is_some_and(Vec::is_empty)),
        (&false.into(), false)
    );
    let plan = folder.run(&["plan", "--json", shop()]).code(0).json();
    assert_eq!(plan["kind"], "plan");
    for field in
        ["provider", "region", "zones", "usd_month", "unavailability", "downtime_min_year", "feasible"]
    {
        assert!(!plan[field].is_null(), "{field}: {plan}");
    }
}

#[test]
fn every_code_has_a_page() {
    let folder = Folder::new("explain");
    assert!(folder.run(&["explain", "E0107"]).code(0).data.contains("E0107"));
    let json = folder.run(&["explain", "e0212", "--json"]).code(0).json();
    assert_eq!((&json["kind"], &json["code"]), (&"explain".into(), &"E0212".into()), "{json}");
    assert_eq!(json["title"], "a region that none of the providers has");
    assert!(json["page"].as_str().is_some_and(|page| page.starts_with("# E0212: ")), "{json}");
    folder.run(&["explain", "E9999"]).fails("`E9999` is not an error code", "hint:");
    folder.run(&["explain", "../../secret"]).fails("is not an error code", "hint:");
}

#[test]
fn with_nothing_running_each_command_says_so_and_what_to_do() {
    let folder = Folder::new("nothing");
    for words in [&["status"][..], &["status", "--json"], &["status", "--watch"], &["drill", "zone"]] {
        folder.run(words).fails("nothing runs from", "hint: start it with `evenkeel up`");
    }
    folder.run(&["logs"]).fails("no unit has printed anything", "hint:");
    folder.run(&["logs", "web-1"]).fails("no unit `web-1`", "hint:");
    folder.run(&["down"]).fails("there is no state folder", "hint:");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "looking leaves nothing behind");
}

#[test]
fn shells_and_manuals_get_their_files() {
    let folder = Folder::new("export");
    let schema = folder.run(&["export", "schema"]).code(0).data;
    assert!(
        serde_json::from_str::<serde_json::Value>(&schema).unwrap()["properties"]["services"].is_object()
    );
    let reference = folder.run(&["export", "reference"]).code(0).data;
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/file.md");
    assert_eq!(reference, fs::read_to_string(page).unwrap());
    for shell in ["bash", "zsh", "fish"] {
        let completion = folder.run(&["export", "completion", shell]).code(0).data;
        assert!(completion.contains("detailed-exitcode"), "{shell}");
    }
    assert!(folder.run(&["export", "man"]).code(0).data.contains(".TH evenkeel"));
}

/// What the exports are tried with; its regions are those that are cheapest in the catalogue.
fn cloud() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../provider/testdata/shop.yaml")
}

#[test]
fn a_plan_becomes_a_folder_for_terraform_and_secrets_that_are_in_none_of_its_files() {
    let folder = Folder::new("clouds");
    for provider in ["aws", "gcp", "alicloud"] {
        let words = ["export", "terraform", cloud(), "--provider", provider, "-o", provider, "--json"];
        let told = folder.run(&words).code(0).json();
        assert_eq!((told["kind"].as_str(), told["provider"].as_str()), (Some("export"), Some(provider)));
        for line in told["lines"].as_array().unwrap() {
            let made = line["resources"].as_array().is_some_and(|all| !all.is_empty());
            assert!(made || line["not_applied"].is_string(), "{provider}: {line} is silently ignored");
        }
        for name in told["files"].as_array().unwrap() {
            let text = fs::read_to_string(folder.0.join(provider).join(name.as_str().unwrap())).unwrap();
            assert!(!text.contains("PRIVATE KEY"), "{provider}: {name}");
        }
        // The same again is no change, and no reason to complain.
        assert_eq!(folder.run(&words).code(0).json(), told);
    }
    let identity = folder.0.join(".evenkeel/identity");
    assert_eq!(fs::metadata(&identity).unwrap().permissions().mode() & 0o777, 0o700);
    let secrets = fs::read_to_string(identity.join("secrets.json")).unwrap();
    let secrets: serde_json::Value = serde_json::from_str(&secrets).unwrap();
    let secret = secrets["secrets"]["db.application"].as_str().unwrap();
    for file in fs::read_dir(folder.0.join("aws")).unwrap() {
        assert!(!fs::read_to_string(file.unwrap().path()).unwrap().contains(secret));
    }

    let told = folder
        .run(&["--state", "run/state", "export", "terraform", cloud(), "--provider", "aws", "-o", "a/b"])
        .code(0);
    let page = fs::read_to_string(folder.0.join("a/b/README.md")).unwrap();
    assert!(page.contains("./upload.sh ../../run/state path/to"), "{}\n{page}", told.talk);
    assert!(folder.0.join("a/b/../../run/state/identity/authority.pem").exists());

    let stdout = folder.run(&["export", "terraform", cloud(), "--provider", "aws"]).code(0);
    let document: serde_json::Value = serde_json::from_str(&stdout.data).unwrap();
    // One machine a zone holds everything, and is used whole; of machines of their own all but one a zone are not.
    assert!(document["resource"]["aws_vpc"].is_object() && !stdout.talk.contains("not applied by evenkeel"));
    let apart = fs::read_to_string(cloud()).unwrap().replace("zones: 3", "zones: 3, machines: apart");
    fs::write(folder.0.join("apart.yaml"), apart).unwrap();
    let stdout = folder.run(&["export", "terraform", "apart.yaml", "--provider", "aws"]).code(0);
    assert!(stdout.talk.contains("not applied by evenkeel"), "{}", stdout.talk);
    let template = folder.run(&["export", "cloudformation", cloud(), "--provider", "aws"]).code(0);
    let template: serde_json::Value = serde_json::from_str(&template.data).unwrap();
    assert_eq!(template["Resources"]["Vpc"]["Type"], "AWS::EC2::VPC");
}

#[test]
fn what_cannot_be_exported_says_why_and_writes_nothing() {
    let folder = Folder::new("no cloud");
    let local = ["export", "terraform", cloud(), "-o", "out"];
    folder.run(&local).fails("the plan is for `local`", "--provider aws");
    folder.run(&["export", "terraform", cloud(), "--provider", "azure"]).fails("no provider `azure`", "aws");
    let gcp = ["export", "cloudformation", cloud(), "--provider", "gcp"];
    folder.run(&gcp).fails("CloudFormation is of AWS alone", "--provider aws");
    let dear = fs::read_to_string(cloud()).unwrap().replace("[zone] }", "[zone], budget: 1 USD/month }");
    folder.file("dear.yaml", dear);
    let told = folder.run(&["export", "terraform", "dear.yaml", "--provider", "aws", "-o", "out"]).code(3);
    assert!(told.data.is_empty() && told.talk.contains("the budget is 1.00 USD/month"), "{}", told.talk);
    assert!(!folder.0.join("out").exists() && !folder.0.join(".evenkeel").exists());
    folder.file("mine/main.tf", "mine");
    let mine = ["export", "terraform", cloud(), "--provider", "aws", "-o", "mine"];
    folder.run(&mine).fails("holds `main.tf`, and no earlier export", "-o");
    assert_eq!(fs::read_dir(folder.0.join("mine")).unwrap().count(), 1);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let folder = Folder::new("pipe");
    folder.file("bad.yaml", "name: x\nservises: {}\n");
    let cases: &[(&[&str], i32)] = &[
        (&["export", "schema"], 0),
        (&["export", "completion", "bash"], 0),
        (&["export", "man"], 0),
        (&["explain", "E0107"], 0),
        (&["plan", shop()], 0),
        (&["export", "terraform", cloud(), "--provider", "aws"], 0),
        (&["--help"], 0),
        (&["check", "bad.yaml"], 1),
        (&["status"], 1),
    ];
    for (words, code) in cases {
        for both in [false, true] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut command = folder.command(words);
            command.stdout(writer.try_clone().unwrap());
            command.stderr(if both { Stdio::from(writer) } else { Stdio::piped() });
            let output = command.spawn().unwrap().wait_with_output().unwrap();
            let talk = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(*code), "{words:?}: {talk}");
            assert!(!talk.contains("panicked") && !talk.contains("Broken pipe"), "{words:?}: {talk}");
        }
    }
}

#[test]
fn a_full_disk_is_told_and_ends_nothing_that_only_logs() {
    let folder = Folder::new("full");
    let full = || Stdio::from(fs::File::options().write(true).open("/dev/full").unwrap());
    let output =
        folder.command(&["export", "schema"]).stdout(full()).stderr(Stdio::piped()).output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), talk.contains("cannot write to standard output")),
        (Some(1), true),
        "{talk}"
    );

    // An agent whose log is on that disk goes on: it is what keeps a zone alive.
    let token = folder.file("token", [7; 32]);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    folder.file("console", "secret");
    fs::create_dir(folder.0.join("identity")).unwrap();
    let mut agent = folder.command(AGENT).stdout(Stdio::null()).stderr(full()).spawn().unwrap();
    // Its first word to its front comes after its first log line, and after it has begun to listen for signals.
    let heard = first_word(&folder.0.join("zone/front.sock"));
    let pid = rustix::process::Pid::from_child(&agent);
    let asked = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let status = agent.wait().unwrap();
    assert!(heard && asked.is_ok() && status.code() == Some(0), "{heard} {asked:?} {status}");
}

/// An agent of zone a that reaches no store, with the files `token` and `console`, in the folder `zone`.
const AGENT: &[&str] = &[
    "agent",
    "--zone",
    "a",
    "--store",
    "127.0.0.1:1",
    "--address",
    "127.0.0.1",
    "--base",
    ".",
    "--token",
    "token",
    "--console-token",
    "console",
    "--identity",
    "identity",
    "--databases",
    "databases",
    "--dir",
    "zone",
];

/// Whether the agent at `socket` sends its front a picture within 10 s.
fn first_word(socket: &Path) -> bool {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        if let Ok(stream) = UnixStream::connect(socket) {
            let mut line = String::new();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            return BufReader::new(stream).read_line(&mut line).is_ok() && line.ends_with('\n');
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn colour_stays_out_of_files() {
    let folder = Folder::new("colour");
    folder.file("bad.yaml", "name: x\nservises: {}\n");
    for words in [&["check", "bad.yaml"][..], &["plan", shop()], &["--help"], &["plam"]] {
        let output = folder.command(words).env_remove("NO_COLOR").output().unwrap();
        assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{words:?}");
    }
}

#[test]
fn a_state_folder_that_cannot_be_had_is_named() {
    let folder = Folder::new("unwritable");
    folder.file("small.yaml", SMALL);
    for state in ["/dev/null/state", "/proc/evenkeel", "small.yaml/state"] {
        for words in [&["up", "--detach"][..], &["up"]] {
            let told = folder.run(&[words, &["small.yaml", "--state", state]].concat()).code(1);
            assert!(told.talk.contains("cannot make the state folder"), "{state}: {}", told.talk);
        }
    }
    fs::create_dir_all(folder.0.join("odd/lock")).unwrap();
    folder.run(&["status", "--state", "odd"]).fails("cannot open", "odd/lock");
    folder.run(&["down", "--state", "odd"]).fails("cannot open", "odd/lock");
}

#[test]
fn an_application_that_cannot_start_is_refused_before_anything_starts() {
    let folder = Folder::new("refused");
    folder.file("none.yaml", SMALL.replace("/bin/sleep", "bin/none"));
    folder.run(&["up", "none.yaml"]).fails("there is no program `bin/none`", "hint:");
    folder.file("image.yaml", "name: x\nservices:\n  web: { image: nginx }\n");
    folder.run(&["up", "image.yaml"]).fails("image", "hint:");
    assert!(!folder.0.join(".evenkeel").exists(), "nothing was made");
}

#[test]
fn a_database_is_planned_before_it_is_run_and_up_says_which() {
    let folder = Folder::new("database");
    let file = shop();
    let plan = folder.run(&["plan", "--json", file]).code(0).json();
    assert_eq!(plan["databases"][0]["nodes"][0], serde_json::json!({ "name": "db-1", "zone": "a" }));
    assert!(plan["feasible"] == true && plan["databases"][0]["mode"] == "quorum", "{plan}");
    let page = folder.run(&["plan", file]).code(0).data;
    assert!(page.contains("(db-1 in a, db-2 in b, db-3 in c)"), "{page}");
    if !spec::Parts::BUILT.databases {
        folder
            .run(&["up", file])
            .fails("service `web` uses `${db.url}`", "write the address of your own server");
    }
    let text = std::fs::read_to_string(file).unwrap().replace("standbys: 2 ", "standbys: 0 ");
    folder.file("single.yaml", text);
    let missed = folder.run(&["plan", "--json", "single.yaml"]).code(3).json()["missed"].to_string();
    assert!(missed.contains("`survive: [zone]` was asked, and `db` has one node"), "{missed}");
}

#[test]
fn a_damaged_run_record_is_told_and_down_goes_on_without_it() {
    let folder = Folder::new("damaged");
    for record in ["", "{", "[1,2]", "{\"pid\":\"x\"}", "\u{0}\u{1}\u{2}"] {
        folder.file(".evenkeel/lock", "");
        folder.file(".evenkeel/run.json", record);
        folder.run(&["status"]).fails("nothing runs from", "hint:");
        folder.run(&["down"]).code(0);
        assert!(!folder.0.join(".evenkeel/run.json").exists());
    }
    folder.file(".evenkeel/run.json", "{");
    let lock = fs::File::options().write(true).open(folder.0.join(".evenkeel/lock")).unwrap();
    lock.lock().unwrap();
    folder.run(&["status"]).fails("run.json` is damaged", "`evenkeel down`");
    folder.run(&["drill", "zone"]).fails("run.json` is damaged", "`evenkeel down`");
    folder.run(&["plan", shop()]).fails("run.json` is damaged", "`evenkeel down`");
    folder.file("small.yaml", SMALL);
    folder.run(&["up", "small.yaml"]).fails("run.json` is damaged", "`evenkeel down`");
}

#[test]
fn what_a_killed_run_left_is_not_called_nothing() {
    let folder = Folder::new("left");
    folder.file(".evenkeel/lock", "{\"pid\":1,\"started\":0}");
    let record = r#"{"pid":1,"isolate":false,"zones":[],"store":"127.0.0.1:1","base":"/"}"#;
    folder.file(".evenkeel/run.json", record);
    folder.run(&["status"]).fails("nobody looks after it", "`evenkeel down` ends it");
    folder.file(".evenkeel/local.json", "{");
    folder.run(&["down"]).fails("cannot tell what an earlier run left", "hint:");
    fs::remove_file(folder.0.join(".evenkeel/local.json")).unwrap();
    // Process 1 is not the one that signed the lock, whatever its number: it is not signalled.
    folder.run(&["down"]).code(0);
}

#[test]
fn another_programs_file_in_place_of_the_store_is_left_alone() {
    let folder = Folder::new("store");
    folder.file("small.yaml", SMALL);
    let theirs = "a file of another program, longer than a header".repeat(200);
    let store = folder.file(".evenkeel/store/store.redb", &theirs);
    folder.run(&["up", "--detach", "small.yaml"]).fails("is not a store file", "hint: move it away");
    assert_eq!(fs::read_to_string(store).unwrap(), theirs);
    folder.run(&["status"]).fails("nothing runs from", "hint:");
}

#[test]
fn an_agent_names_what_is_in_its_way() {
    let folder = Folder::new("agent");
    let token = folder.file("token", [7; 32]);
    folder.file("console", "secret");
    fs::create_dir(folder.0.join("identity")).unwrap();
    let agent = |dir: &'static str| {
        let mut words = AGENT.to_vec();
        *words.last_mut().unwrap() = dir;
        folder.run(&words)
    };
    agent("open").fails("others may read it", "hint: chmod 600");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir_all(folder.0.join("taken/front.sock")).unwrap();
    agent("taken").fails("cannot replace `", "taken/front.sock`\n  because Is a directory");
    let held = fs::File::create(folder.file("held/lock", "")).unwrap();
    held.lock().unwrap();
    agent("held").fails("another agent runs zone `a`", "held");
    folder.file("token", "short");
    agent("short").fails("it holds 5 bytes, not 32", "token");
}
