//! Looks at the page of a plan with the eyes of a person: headless Chromium. Pictures land in `target/review`.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails as the test does")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use model::{
    App, AppName, Bytes, Cache, CacheLoss, CacheName, Database, DatabaseName, Deploy, Duration, Healthcheck,
    Ingress, Load, MilliCpu, Money, Objectives, PerScope, Placement, Probe, Rate, Region, Resources, Run,
    Scale, Scope, Service, ServiceName, Template, WhenAlone,
};
use plan::{Catalog, Options, Terms, explain, html};

const TODAY: &str = "2026-11-29";

fn service(name: &str, peak: f64) -> Service {
    let second = Duration(1_000);
    Service {
        name: ServiceName::new(name).unwrap(),
        run: Run::Command(vec![Template::plain("bin/shop")]),
        environment: BTreeMap::new(),
        healthcheck: Healthcheck {
            probe: Probe::Tcp,
            interval: second,
            timeout: second,
            retries: 2,
            start_timeout: second,
        },
        resources: Resources { cpus: MilliCpu(1_000), memory: Bytes(512 << 20) },
        scale: Scale { min: 2, max: 60, target: None },
        load: Some(Load { peak: Rate(peak), mean: None, response: Some(Bytes(1_000)) }),
        rps_per_cpu: Some(150.0),
        deploy: Deploy { max_unavailable: 0, drain: second },
    }
}

/// A shop in Frankfurt, with a host name that no page may act on.
fn shop() -> App {
    let asked = |zone| PerScope { node: Some(Duration(10_000)), zone: Some(Duration(zone)), region: None };
    App {
        name: AppName::new("webshop").unwrap(),
        objectives: Objectives {
            availability: "99.97%".parse().ok(),
            survive: vec![Scope::Zone],
            rto: asked(60_000),
            budget: Some(Money::from_usd(1_500.0)),
            ..Objectives::default()
        },
        placement: Placement {
            providers: vec!["aws".into(), "gcp".into(), "alicloud".into()],
            regions: vec![Region("eu-central".into())],
            zones: 3,
            machines: Some(model::Sharing::Any),
            residency: vec![],
            users: vec![],
        },
        services: vec![service("web", 900.0), service("api", 400.0)],
        databases: vec![Database {
            name: DatabaseName::new("orders").unwrap(),
            postgres: 15,
            storage: "100G".parse().unwrap(),
            standbys: 2,
            auto: false,
            managed: model::Managed::No,
            witness: false,
            writes: Some(Rate(200.0)),
            when_alone: WhenAlone::Block,
        }],
        caches: vec![Cache {
            name: CacheName::new("sessions").unwrap(),
            engine: "redis:7".into(),
            memory: "2G".parse().unwrap(),
            shards: 2,
            replicas: 1,
            loss: CacheLoss::Outage,
        }],
        ingress: vec![Ingress {
            port: 443,
            any_address: true,
            host: Some("<script>document.title='owned'</script>".into()),
            to: ServiceName::new("web").unwrap(),
        }],
        assume: BTreeMap::new(),
        seen: BTreeMap::new(),
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|full| full.is_file());
    if found.is_none() {
        let required = std::env::var("EVENKEEL_REQUIRE").unwrap_or_default();
        assert!(required != "all", "`chromium` is missing, and EVENKEEL_REQUIRE=all");
        eprintln!(
            "SKIPPED: `chromium` is missing, nobody has looked at the page; `cargo xtask test` installs it"
        );
    }
    found
}

/// What Chromium printed: the document, and what it has to complain about.
struct Seen {
    dom: String,
    console: Vec<String>,
}

/// Runs Chromium on a file with an empty profile.
fn look(chromium: &Path, case: &str, page: &Path, flags: &[&str]) -> Seen {
    let profile = std::env::temp_dir().join(format!("evenkeel-page-{}-{case}", std::process::id()));
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--disable-dev-shm-usage", "--hide-scrollbars", "--timeout=30000", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(flags)
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let _ = fs::remove_dir_all(&profile);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{case}: {said}");
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    Seen { dom: String::from_utf8(output.stdout).unwrap(), console }
}

fn review() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("review");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes the page; with `probe` one that says what is wider than the window, which the real one's own policy would
/// not let it do.
fn written(name: &str, page: &str, probe: bool) -> PathBuf {
    const PROBE: &str = "<script>
        const wide = [...document.querySelectorAll('body *')].filter(e => {
            const box = e.getBoundingClientRect();
            return box.width > 0 && (box.right > innerWidth + 0.5 || box.left < -0.5);
        });
        document.body.dataset.window = innerWidth;
        document.body.dataset.wide = wide.map(e => e.tagName + '.' + e.getAttribute('class')).join(' ');
        document.body.dataset.scroll = document.documentElement.scrollWidth;
    </script>";
    let path = review().join(format!("{name}.html"));
    let policy = page.find("<meta http-equiv").map(|at| &page[at..at + page[at..].find('>').unwrap() + 1]);
    let text = match probe {
        true => page.replace(policy.unwrap(), "").replace("</body>", &format!("{PROBE}</body>")),
        false => page.to_owned(),
    };
    fs::write(&path, text).unwrap();
    path
}

fn attribute<'d>(dom: &'d str, name: &str) -> &'d str {
    let (_, rest) = dom.split_once(&format!("data-{name}=\"")).unwrap_or_else(|| panic!("no {name}"));
    rest.split('"').next().unwrap()
}

#[test]
fn a_person_sees_the_plan_wide_and_narrow_light_and_dark() {
    let Some(chromium) = chromium() else { return };
    let options = Options { catalog: Catalog::shipped(), provider: None };
    let explained = explain(&shop(), &options, &Terms::default(), TODAY).unwrap();
    let page = html(&explained, TODAY);
    let path = written("plan", &page, false);
    let seen = look(&chromium, "dom", &path, &["--dump-dom"]);
    assert_eq!(seen.console, Vec::<String>::new(), "nothing was refused, missing or wrong");
    assert!(seen.dom.contains("<title>webshop: the plan</title>"), "no markup of the file ran");
    let blank_page = written("blank", "<!doctype html><title>x</title>", false);
    let blank = shoot(&chromium, &blank_page, "blank", "1100,2600", &[]);
    let dark: &[&str] = &["--blink-settings=preferredColorScheme=0"];
    for (name, size, flags) in [
        ("plan", "1100,3600", &[][..]),
        ("plan-dark", "1100,3600", dark),
        ("plan-phone", "390,5600", &[][..]),
        ("plan-phone-dark", "390,5600", dark),
    ] {
        let bytes = shoot(&chromium, &path, name, size, flags);
        assert!(bytes > 6 * blank, "{name} is blank: {bytes} bytes, an empty page has {blank}");
    }
    let probe = written("plan-probe", &page, true);
    for width in ["1100", "800", "500"] {
        let size = format!("--window-size={width},1200");
        let dom = look(&chromium, &format!("probe-{width}"), &probe, &["--dump-dom", &size]).dom;
        assert_eq!(attribute(&dom, "window"), width, "as wide as was asked");
        assert_eq!((attribute(&dom, "wide"), attribute(&dom, "scroll")), ("", width), "nothing sticks out");
    }
    let pdf = review().join("plan.pdf");
    look(&chromium, "print", &path, &[&format!("--print-to-pdf={}", pdf.display())]);
    let printed = fs::metadata(&pdf).unwrap().len();
    assert!(printed > 20_000, "{printed} bytes are printed");
    for gone in [blank_page, probe] {
        fs::remove_file(gone).unwrap();
    }
}

/// Takes a picture; gives back its size in bytes.
fn shoot(chromium: &Path, page: &Path, name: &str, size: &str, flags: &[&str]) -> u64 {
    let path = review().join(format!("{name}.png"));
    let _ = fs::remove_file(&path);
    let (shot, size) = (format!("--screenshot={}", path.display()), format!("--window-size={size}"));
    let all: Vec<&str> = [shot.as_str(), size.as_str()].into_iter().chain(flags.iter().copied()).collect();
    look(chromium, name, page, &all);
    fs::metadata(&path).unwrap().len()
}
