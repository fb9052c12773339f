//! `evenkeel plan`: what is planned and told, what a change would cost, what is refused, and the files of a plan.

use super::*;

#[test]
fn a_budget_that_buys_nothing_has_an_exit_code_of_its_own() {
    let folder = Folder::new("budget");
    let dear = "objectives: { budget: 1 USD/month }\nplacement: { providers: [aws] }\n";
    folder.file("dear.yaml", format!("{SMALL}    load: {{ peak: 400rps }}\n{dear}"));
    let told = folder.run(&["plan", "dear.yaml"]).code(3);
    assert!(told.data.contains("the budget is 1.00 USD/month"), "{}", told.data);
    assert_eq!(folder.run(&["plan", "--json", "dear.yaml"]).code(3).json()["feasible"], false);
    folder.file("small.yaml", SMALL);
    folder.run(&["plan", "small.yaml"]).code(0);
    folder.run(&["plan", "small.yaml", "--detailed-exitcode"]).code(2);
    folder.run(&["plan", "small.yaml", "--provider", "nimbus"]).fails("nimbus", "aws");
}

/// The shop for a cloud, with something of it written otherwise.
fn shop_with(folder: &Folder, name: &str, changes: &[(&str, &str)]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop/cloud.yaml");
    let mut text = fs::read_to_string(path).unwrap();
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    folder.file(name, text);
}

#[test]
fn nothing_that_fits_says_what_would_do_and_each_way_does() {
    let folder = Folder::new("relaxed");
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a [&'a [&'a str]]);
    let cases: &[Case<'_>] = &[
        ("low", &[("budget: 900", "budget: 300")], "the budget is 300.00", &[&["budget"]]),
        ("high", &[("99.95%", "99.99%")], "availability 99.990% was asked", &[&["availability"]]),
        (
            "small",
            &[("min: 6, max: 9", "min: 1, max: 3"), ("budget: 900 USD/month", "budget: 1000 USD/month")],
            "the budget is 1000.00",
            &[&["budget"], &["scale.max"]],
        ),
        ("short", &[("zone: 60s", "zone: 1s")], "`rto: { zone: 1s }` was asked", &[&["rto.zone"]]),
        (
            "two",
            &[("99.95%", "99.999%"), ("budget: 900", "budget: 100")],
            "availability 99.9990% was asked",
            &[&["availability", "budget"]],
        ),
    ];
    for (name, changes, missed, expected) in cases {
        let file = format!("{name}.yaml");
        shop_with(&folder, &file, changes);
        let told = folder.run(&["plan", &file]).code(3).data;
        let head =
            if expected[0].len() == 1 { "what would do, each alone" } else { "what would do together" };
        assert!(told.contains(missed) && told.contains(head), "{told}");
        let json = folder.run(&["plan", &file, "--json"]).code(3).json();
        let ways = json["relaxed"]["ways"].as_array().unwrap();
        let named: Vec<Vec<&str>> = ways
            .iter()
            .map(|way| {
                let changes = way["changes"].as_array().unwrap().iter();
                changes.map(|change| change["objective"].as_str().unwrap()).collect()
            })
            .collect();
        assert_eq!(named, *expected, "{name}: {json}");
        for way in ways {
            let changes = way["changes"].as_array().unwrap().iter();
            let what_if: Vec<&str> = changes.map(|change| change["what_if"].as_str().unwrap()).collect();
            let json =
                folder.run(&["plan", &file, "--what-if", &what_if.join(", "), "--json"]).code(0).json();
            assert_eq!(json["after"]["usd_month"], way["usd_month"], "{name}: {way}");
            assert_eq!(way["exact"], true);
        }
        folder.run(&["plan", &file, "--html", "page.html"]).code(3);
        let page = fs::read_to_string(folder.0.join("page.html")).unwrap();
        assert!(page.contains("<h2>What would do") && page.contains("--what-if"), "{name}");
    }
    let fits = folder.run(&["plan", shop(), "--provider", "aws", "--json"]).code(0).json();
    assert_eq!(fits["relaxed"], serde_json::json!({ "ways": [], "cut": false }));
    // A change with which nothing fits is told about, too.
    let told = folder.run(&["plan", "low.yaml", "--what-if", "budget 200"]).code(3).data;
    assert!(
        told.contains("objectives: missed -> missed") && told.contains("what would do, each alone"),
        "{told}"
    );
}

#[test]
fn nothing_is_survived_when_the_file_says_so() {
    let folder = Folder::new("survive nothing");
    let text = fs::read_to_string(shop()).unwrap();
    assert!(text.contains("survive: [zone]"));
    folder.file("nothing.yaml", text.replace("survive: [zone]", "survive: []"));
    let of =
        |words: &[&str]| folder.run(&[&["plan", "nothing.yaml", "--provider", "aws"][..], words].concat());
    assert!(!of(&[]).code(0).data.contains("`survive` was left out"));
    assert_eq!(
        of(&["--what-if", "survive nothing"]).code(0).data,
        "what if: survive nothing\n\nno changes\n"
    );
    of(&["-o", "plan.json"]).code(0);
    of(&["--verify", "plan.json"]).code(0);
}

#[test]
fn what_a_change_would_cost_is_told_beside_the_plan() {
    let folder = Folder::new("what if");
    let of = |words: &[&str]| folder.run(&[&["plan", shop(), "--provider", "alicloud"][..], words].concat());
    let twice = of(&["--what-if", "load x2"]).code(3).data;
    assert!(
        twice.starts_with("what if: load x2\n\n~ ")
            && twice.contains("\n~ web: 6 -> 9 replicas")
            && twice.contains("USD/month (+"),
        "{twice}"
    );
    assert!(twice.contains("objectives: met -> missed\n    - `web` needs "), "scale.max is 9: {twice}");
    let json = of(&["--without", "zone", "--what-if", "load x0.5, prices +20%", "--json"]).code(0).json();
    assert_eq!(json["changes"], serde_json::json!(["without zone", "load x0.5", "prices +20%"]));
    assert!(json["before"]["provider"] == "alicloud" && json["after"]["feasible"] == true, "{json}");
    let usd = |plan: &str| json[plan]["usd_month"].as_f64().unwrap();
    assert!((usd("after") - usd("before") - json["usd_month_more"].as_f64().unwrap()).abs() < 1e-9);
    assert_eq!(of(&["--what-if", "load x1"]).code(0).data, "what if: load x1\n\nno changes\n");
    of(&["--what-if", "faster"]).fails("`faster` is no change that is known", "standbys [DATABASE] 1");
    of(&["--what-if", "load x0"]).fails("`x0` is wrong", "hint: write for example");
    of(&["--without", "www"]).fails("there is no service, database or cache `www`", "`zone` and `node`");
    of(&["--what-if", "standbys 9"]).fails("there is no plan with `standbys 9`", "at most 4 are planned");
    of(&["--without", "zone", "-o", "p.json"]).fails("--without", "--output");
}

#[test]
fn what_another_residency_and_other_users_would_change_is_told_and_a_slip_has_its_way_out() {
    let folder = Folder::new("what if elsewhere");
    let far = [
        ("  regions: [eu-central]\n", ""),
        (
            "budget: 900 USD/month",
            "budget: 9000 USD/month\n  latency: { service: web, p99: 60ms, load: 400rps }",
        ),
    ];
    shop_with(&folder, "shop.yaml", &far);
    let of = |what_if: &str| folder.run(&["plan", "shop.yaml", "--provider", "gcp", "--what-if", what_if]);
    let told = of("users São Paulo 99%, 50.1 8.7 1%, storage x2").code(0).data;
    assert!(told.starts_with("what if: users São Paulo 99%, 50.1 8.7 1%, storage x2\n\n~ place: "), "{told}");
    assert!(told.contains(" -> gcp southamerica-") && told.contains("+ users in São Paulo: 99%"), "{told}");
    assert!(of("residency BR").code(0).data.contains(" -> gcp southamerica-east1, "));
    of("users Frankfort").fails("`Frankfort` is wrong", "such as `Frankfurt`, or degrees north and east");
    of("users Paris 70%").fails("`70%` is wrong", "shares that come to 100% together");
    of("residency eu").fails("`residency eu`: `eu` is wrong", "expected `EU`");
    // What leaves nothing is no slip.
    let nothing = of("residency BR, users Tokyo").code(3).talk;
    assert!(nothing.contains("there is no plan with `residency BR, users Tokyo`"), "{nothing}");
    assert!(nothing.contains("hint: "), "{nothing}");
    folder
        .run(&["plan", "shop.yaml", "--provider", "local", "--what-if", "users Paris"])
        .fails("where this machine is, is not known", "`--provider aws` plans for a cloud");
}

#[test]
fn a_robust_plan_is_verified_as_one_and_no_other_is() {
    let folder = Folder::new("robust");
    let file =
        fs::read_to_string(shop()).unwrap().replace("99.95%", "95%").replace("budget: 900", "budget: 9000");
    folder.file("shop.yaml", file);
    let of = |words: &[&str]| folder.run(&[&["plan", "shop.yaml", "--provider", "aws"][..], words].concat());
    let page = of(&["--robust", "-o", "robust.json"]).code(0).data;
    assert!(page.contains("robust: every assumption is taken at its bad end"), "{page}");
    assert_eq!(of(&["-o", "plain.json", "--json"]).code(0).json()["robust"], false);
    let told = of(&["--verify", "robust.json", "--robust"]).code(0).data;
    assert!(told.contains("at the bad end of every assumption, with the prices that are old on "), "{told}");
    assert_eq!(of(&["--verify", "robust.json", "--json"]).code(0).json()["robust"], true);
    assert_eq!(of(&["--verify", "plain.json", "--json"]).code(0).json()["robust"], false);
    let told = of(&["--verify", "plain.json", "--robust"]).code(4).data;
    assert!(told.contains("it is not for the bad end of every assumption"), "{told}");
    let mut stored: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.0.join("plain.json")).unwrap()).unwrap();
    stored["certificate"]["proof"]["terms"]["pessimistic"] = "2026-11-29".into();
    folder.file("forged.json", stored.to_string());
    of(&["--verify", "forged.json", "--robust"]).code(4);
}

#[test]
fn a_page_is_written_beside_the_plan_and_the_reasons_are_told() {
    let folder = Folder::new("page");
    let of = |words: &[&str]| folder.run(&[&["plan", shop(), "--provider", "gcp"][..], words].concat());
    let plain = of(&[]).code(0).data;
    assert_eq!(of(&["--html", "p.html"]).code(0).data, plain, "the page changes nothing of what is printed");
    let page = fs::read_to_string(folder.0.join("p.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("What runs where") && page.len() > 20_000);
    let told = of(&["--why"]).code(0).data;
    assert!(told.starts_with(&plain) && told.contains("\nhow much hangs on each assumption\n"), "{told}");
    let json = of(&["--why", "--json"]).code(0).json();
    assert!(json["reasons"]["frontier"]["kept"].as_array().is_some_and(|rungs| !rungs.is_empty()), "{json}");
    of(&["--html", "no/such/p.html"]).fails("the page was not written", "no/such");
    of(&["--html", "p.html", "--what-if", "load x2"]).fails("--html", "--what-if");
}

#[test]
fn a_written_plan_is_whole_and_private() {
    let folder = Folder::new("plan");
    folder.file("p.json", "something of the user's");
    folder.run(&["plan", shop(), "-o", "p.json"]).fails("`p.json` is no plan", "name another file with `-o`");
    assert_eq!(fs::read_to_string(folder.0.join("p.json")).unwrap(), "something of the user's");
    folder.file("p.json", r#"{"kind":"plan"}"#);
    folder.run(&["plan", shop(), "-o", "p.json"]).code(0);
    for command in [&["check"][..], &["plan"], &["up"], &["export", "terraform"]] {
        folder
            .run(&[command, &["p.json"]].concat())
            .fails("`p.json` is a plan", "the file that it was made from");
    }
    let path = folder.0.join("p.json");
    let plan: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((&plan["kind"], &plan["app"]), (&"plan".into(), &"shop".into()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "nothing half written is left");
    // What is no file stays what it is: as root a careless rename would replace `/dev/stdout` for the whole machine.
    let _socket = std::os::unix::net::UnixListener::bind(folder.0.join("socket")).unwrap();
    folder.run(&["plan", shop(), "-o", "socket"]).fails("the plan was not written", "cannot write `socket`");
    assert!(!fs::metadata(folder.0.join("socket")).unwrap().is_file());
    folder.run(&["plan", shop(), "-o", "."]).fails("the plan was not written", "cannot write `.`");
    folder.run(&["plan", shop(), "-o", "no/such/p.json"]).fails("the plan was not written", "no/such");
}

/// The first thing a newcomer reads and types. When prices change, so does the page.
#[test]
fn the_first_plan_of_the_readme_has_the_price_that_is_printed() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let page = fs::read_to_string(Path::new(root).join("README.md")).unwrap();
    let file = "examples/shop/cloud.yaml";
    assert!(page.contains(&format!("evenkeel plan {file} ")), "the command is not in the README");
    let folder = Folder::new("readme");
    let file = format!("{root}/{file}");
    let told = folder.run(&["plan", &file]).code(0).data;
    let head = told.lines().take(6).collect::<Vec<_>>().join("\n");
    assert!(page.contains(&head), "README.md does not have\n{head}");
    let usd = folder.run(&["plan", &file, "--json"]).code(0).json()["usd_month"].as_f64().unwrap();
    assert!(usd > 100.0 && usd < 900.0, "{usd}");
    // As docs/hosts.md says: on machines of one's own the zones have other names.
    let local = folder.run(&["plan", &file, "--provider", "local"]).code(0).data;
    assert!(local.starts_with("plan for shop: this machine, zones a b c\n"), "{local}");
}

#[test]
fn a_region_that_nobody_sells_is_a_mistake_of_the_file_before_it_is_one_of_the_plan() {
    let folder = Folder::new("regions");
    let placed = |placement: &str| folder.file("x.yaml", format!("{SMALL}placement: {{ {placement} }}\n"));
    placed("providers: [aws], regions: [eu-nowhere-9]");
    for command in ["check", "plan", "up"] {
        folder
            .run(&[command, "x.yaml"])
            .fails("error[E0212]: `aws` has no region `eu-nowhere-9`", "`eu-central`");
    }
    let found = folder.run(&["check", "x.yaml", "--json"]).code(1).json()["findings"][0].clone();
    assert_eq!((&found["code"], &found["line"]), (&"E0212".into(), &5.into()), "{found}");
    placed("regions: [europe-west3]");
    folder.run(&["check", "x.yaml"]).code(0);
    let told = folder.run(&["plan", "x.yaml", "--provider", "gcp"]).code(0);
    assert!(told.data.contains("gcp europe-west3, zones europe-west3-a"), "{}", told.data);
    folder
        .run(&["plan", "x.yaml", "--provider", "aws"])
        .fails("no prices for region `europe-west3`", "hint: `--provider gcp`");
    // What the residency leaves out is a mistake where the file names it, and else no plan that fits.
    placed("providers: [gcp], regions: [us-central1], residency: [EU]");
    folder.run(&["check", "x.yaml"]).fails("error[E0213]: `us-central1` is under the law of `US`", "`eu-");
    placed("providers: [gcp], residency: [AE]");
    folder.run(&["check", "x.yaml"]).code(0);
    let told = folder.run(&["plan", "x.yaml"]).code(3);
    assert!(told.talk.contains("hint: alicloud would do"), "{}", told.talk);
    // So is what is too far for the users.
    let far = |users: &str| {
        let slow = "objectives: { latency: { service: web, p99: 40ms } }\n";
        let small = SMALL.replace("1000", "${port}");
        folder.file("x.yaml", format!("{small}{slow}placement: {{ providers: [gcp], users: [{users}] }}\n"));
    };
    far("{ place: Franfurt, share: 100% }");
    folder
        .run(&["check", "x.yaml"])
        .fails("error[E0214]: `Franfurt` is no place", "did you mean `Frankfurt`?");
    far("{ place: Frankfurt, share: 70% }, { place: Singapore, share: 30% }");
    let told = folder.run(&["plan", "x.yaml"]).code(3);
    assert!(told.talk.contains("one round trip alone takes longer than `p99: 40ms`"), "{}", told.talk);
    far("{ place: \"50.1 8.7\", share: 100% }");
    let told = folder.run(&["plan", "x.yaml", "--json", "-o", "plan.json"]).code(0).json();
    assert!(told["round_trips"][0]["ms"].as_f64().is_some_and(|ms| ms <= 40.0), "{}", told["round_trips"]);
    folder.run(&["plan", "x.yaml", "--verify", "plan.json"]).code(0);
    placed("regions: [europe-west3]");
    // Prices that cannot be read are no reason not to run on this machine, where nothing is bought.
    folder.file(".evenkeel/catalog.csv", "no prices");
    folder.run(&["check", "x.yaml"]).code(0);
    folder.run(&["plan", "x.yaml", "--provider", "gcp"]).fails("catalog.csv", "catalog update");
}

#[test]
fn what_cannot_be_planned_is_told_with_the_way_out() {
    let folder = Folder::new("hints");
    folder.file("small.yaml", SMALL);
    folder
        .run(&["plan", "small.yaml", "--provider", "azure"])
        .fails("no provider `azure`", "hint: name one of these");
    folder.file("heavy.yaml", format!("{SMALL}    load: {{ peak: 1000000rps }}\n"));
    for command in ["plan", "up", "simulate"] {
        folder
            .run(&[command, "heavy.yaml"])
            .fails("`load.peak` of `web` is 1000000rps", "hint: raise `capacity:");
    }
    folder
        .run(&["plan", "heavy.yaml", "--what-if", "load x2"])
        .fails("at most 1000", "hint: raise `capacity:");
    let help = folder.run(&["plan", "--help"]).code(0).data;
    assert!(help.contains("or `local` for this machine"), "{help}");
    assert!(folder.run(&["plan", "small.yaml", "--provider", "local"]).code(0).data.contains("this machine"));
    folder.file("mysql.yaml", format!("{SMALL}databases: {{ db: {{ engine: mysql:8 }} }}\n"));
    folder
        .run(&["check", "mysql.yaml"])
        .fails("`mysql:8` is not a database engine", "hint: write `postgres:15`");
}

#[test]
fn files_that_a_plan_cannot_read_or_write_come_with_a_way_out() {
    let folder = Folder::new("plan-files");
    folder
        .run(&["plan", shop(), "--drills", "none.json"])
        .fails("cannot read `none.json`", "drill primary --json");
    folder
        .run(&["plan", shop(), "-o", "none/plan.json"])
        .fails("the plan was not written", "a folder that is there");
    let verdict = r#"{"kind":"verdict","fault":"primary/kill","target":"db-1","at_ms":1,"unsavable_ids":[],"missed":[],"rto_ms":900.0}"#;
    folder.file("drills.jsonl", verdict);
    folder.run(&["plan", shop(), "--drills", "drills.jsonl", "-o", "plan.json"]).code(0);
    let told = folder.run(&["plan", shop(), "--verify", "plan.json"]).code(4).data;
    assert!(
        told.contains("the assumption `takeover_quorum.seconds`") && told.contains("with the same files"),
        "{told}"
    );
    folder.run(&["plan", shop(), "--verify", "plan.json", "--drills", "drills.jsonl"]).code(0);
}
