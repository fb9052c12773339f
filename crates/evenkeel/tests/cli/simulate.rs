//! `evenkeel simulate`: what is played, what is not, and what is refused.

use super::*;

/// A service, and `databases` as they are written in the file.
fn with(databases: &str) -> String {
    format!("{SMALL}placement: {{ zones: 3 }}\ndatabases: {{ {databases} }}\n")
}

#[test]
fn a_plan_and_its_file_are_played_alike_and_both_agree_with_what_was_computed() {
    let folder = Folder::new("simulate");
    folder.run(&["plan", shop(), "-o", "plan.json"]).code(0);
    let play = |what, seed| {
        let words = ["simulate", what, "--years", "3000", "--seed", seed, "--json"];
        let mut told = folder.run(&words).code(0).json();
        // How long it took is no part of what was played.
        told["model"]["seconds"].take();
        told["decisions"][0]["seconds"].take();
        told["placements"][0]["seconds"].take();
        told
    };
    let told = play("plan.json", "4");
    assert_eq!(told, play(shop(), "4"));
    assert_ne!(told, play(shop(), "5"));
    assert_eq!((&told["kind"], &told["agrees"]), (&"simulate".into(), &true.into()));
    assert_eq!((&told["model"]["years"], &told["decisions"][0]["years"]), (&3000.into(), &1000.into()));
    assert_eq!(told["model"]["verdict"], "agree");
    assert_eq!(told["decisions"][0]["databases"], serde_json::json!(["db"]));
    let placed = &told["placements"][0];
    assert_eq!((&placed["services"], &placed["years"]), (&serde_json::json!(["web"]), &1000.into()));
    assert_eq!((&placed["replicas"], &placed["needed"]), (&6.into(), &4.into()));
    let takeovers = &told["decisions"][0]["takeovers"];
    assert!(takeovers["count"].as_u64() > Some(2_000), "{takeovers}");
    assert!((1.0..2.0).contains(&takeovers["p50_s"].as_f64().unwrap()), "{takeovers}");
    let causes = told["model"]["causes"].as_array().unwrap();
    let sum: f64 = causes.iter().map(|cause| cause["played_min_year"].as_f64().unwrap()).sum();
    let whole = told["model"]["played_min_year"].as_f64().unwrap();
    assert!((sum / whole - 1.0).abs() < 1e-9, "{sum} of {whole}");
    let text = folder.run(&["simulate", "plan.json", "--years", "3000"]).code(0);
    for says in [
        "3,000 years in ",
        "1,000 years in ",
        "they agree",
        "bad deploys",
        "p99 ",
        "the rules that place `web`, 6 replicas of which 4 are needed: 1,000 years in ",
        "not played\n  what nobody decides about: bad deploys, ",
    ] {
        assert!(text.data.contains(says), "without `{says}`:\n{}", text.data);
    }
    assert_eq!(text.talk, "", "progress is for terminals");
}

/// One machine a zone holds everything, and is what fails; and with machines of their own each does.
#[test]
fn a_plan_for_a_cloud_is_played_however_it_stands() {
    let folder = Folder::new("simulate-cloud");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop/cloud.yaml");
    let apart = fs::read_to_string(file).unwrap().replace("  zones: 3", "  machines: apart\n  zones: 3");
    folder.file("apart.yaml", apart);
    for file in [file, "apart.yaml"] {
        let told = folder.run(&["simulate", file, "--years", "200", "--json"]).code(0).json();
        assert_eq!(told["placements"][0]["services"], serde_json::json!(["web"]), "{file}: {told}");
        let not = told["not_played"].as_array().unwrap();
        assert!(not.iter().all(|why| why.as_str().unwrap().contains("nobody decides")), "{file}: {not:?}");
    }
}

#[test]
fn what_keepers_do_not_decide_is_said_and_the_model_is_played_all_the_same() {
    let folder = Folder::new("simulate-other");
    let check = |databases: &str, says: &[&str]| {
        let file = if databases.is_empty() { SMALL.to_owned() } else { with(databases) };
        folder.file("e.yaml", file);
        let told = folder.run(&["simulate", "e.yaml", "--years", "2000"]).code(0);
        assert!(told.data.contains("the availability model: 2,000 years"), "{}", told.data);
        for says in says {
            assert!(told.data.contains(says), "{databases}: without `{says}`:\n{}", told.data);
        }
    };
    check("", &["the rules that place `web`, "]);
    check(
        "db: { engine: postgres:15, storage: 1G, standbys: 1 }",
        &["`db` by its keepers' rules: it has a lease"],
    );
    check("db: { engine: postgres:15, storage: 1G, standbys: 0 }", &["it has one node"]);
    check(
        "db: { engine: postgres:15, storage: 1G, standbys: 1, witness: true }",
        &["3 nodes, one a witness"],
    );
    check(
        "db: { engine: postgres:15, storage: 1G, standbys: 2 }, log: { engine: postgres:15, storage: 1G, standbys: 2 }, \
         big: { engine: postgres:15, storage: 1G, standbys: 4 }",
        &["the keepers' rules of `db`, `log`, 3 nodes", "the keepers' rules of `big`, 5 nodes"],
    );
}

#[test]
fn takeovers_that_are_assumed_too_quick_have_an_exit_code() {
    let folder = Folder::new("simulate-quick");
    let file = with("db: { engine: postgres:15, storage: 1G, standbys: 2 }");
    folder.file("e.yaml", format!("{file}assume: {{ takeover_quorum: 500ms }}\n"));
    let told = folder.run(&["simulate", "e.yaml", "--years", "500"]).code(4);
    assert!(told.data.contains("LONGER than the mean of 0.5 s"), "{}", told.data);
    assert!(told.data.contains("do not rely on this plan's figures"), "{}", told.data);
}

#[test]
fn what_cannot_be_played_says_where_and_why() {
    let folder = Folder::new("simulate-bad");
    folder.run(&["simulate"]).fails("cannot open `./evenkeel.yaml`", "hint: name the file");
    folder.run(&["simulate", "no.json"]).fails("cannot open `no.json`", "hint: name the file");
    for years in ["0", "-1", "10000001", "99999999999999999999", "many"] {
        folder.run(&["simulate", shop(), &format!("--years={years}")]).fails("--years", "");
    }
    folder.file("bad.yaml", "name: x\nservises: {}\n");
    folder.run(&["simulate", "bad.yaml"]).fails("bad.yaml:2:1", "services");
    let way_out = "`evenkeel plan -o PLAN`";
    folder.file("garbage.json", "{\"kind\": \"plan\",");
    folder.run(&["simulate", "garbage.json"]).fails("`garbage.json` is no plan: EOF", way_out);
    folder.file("empty.json", "");
    folder.run(&["simulate", "empty.json"]).fails("`empty.json` is no plan: EOF", way_out);
    folder.file("list.json", "[1]");
    folder.run(&["simulate", "list.json"]).fails("it is no JSON object", way_out);
    folder.file("verdict", "{\"kind\": \"verdict\"}");
    folder.run(&["simulate", "verdict"]).fails("it is a `verdict`, no plan", way_out);
    folder.run(&["plan", shop(), "-o", "plan.json"]).code(0);
    let text = fs::read_to_string(folder.0.join("plan.json")).unwrap();
    folder.file("later.json", text.replacen("\"format_version\": 1", "\"format_version\": 2", 1));
    folder.run(&["simulate", "later.json"]).fails("its `format_version` is 2", "the evenkeel that wrote it");
    folder.file("changed.json", text.replacen("\"per_year\": 4.0", "\"per_year\": 3.0", 1));
    folder.run(&["simulate", "changed.json"]).fails("it states an unavailability of ", way_out);
    folder.file("older.json", text.replacen("\"model\"", "\"modell\"", 1));
    folder.run(&["simulate", "older.json"]).fails("it has no model at `certificate.proof.model`", way_out);
    fs::create_dir(folder.0.join("folder.json")).unwrap();
    folder.run(&["simulate", "folder.json"]).fails("cannot read `folder.json`", "directory");
}

#[test]
fn ctrl_c_ends_it_with_a_word() {
    let folder = Folder::new("simulate-stop");
    let mut command = folder.command(&["simulate", shop(), "--years", "10000000"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Not before it listens.
    let status = format!("/proc/{}/status", child.id());
    let listens = || {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
        caught.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & 2 != 0)
    };
    let started = Instant::now();
    while !listens() && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let asked = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let talk = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(
        talk.contains("stopped by Ctrl-C, the model: ") && talk.contains(" of 10,000,000 years"),
        "{talk}"
    );
    assert!(output.stdout.is_empty(), "nothing for a script to take for a result");
}
