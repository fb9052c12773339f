//! What runs on machines, run here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use serde_json::Value;

use super::fixture::{FILE, document, plan, resources, terraform, variants};

/// AWS takes so many bytes of user data (Amazon EC2, "user data").
const USER_DATA_MAX: usize = 16_384;

/// A folder of its own for one test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.0.join("bin").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether `program` is here; says aloud when it is not, and fails when everything is required.
pub fn has(program: &str, test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("SKIPPED {test}: no `{program}` here");
        assert_ne!(
            std::env::var("EVENKEEL_REQUIRE").as_deref(),
            Ok("all"),
            "{test}: `{program}` is required"
        );
    }
    found
}

/// The script of one machine as it arrives there: what Terraform would fill in is filled in.
fn script(document: &Value, body: &Value) -> String {
    let text = body["user_data"].as_str().or(body["metadata"]["startup-script"].as_str()).unwrap();
    let boot = document["locals"]["boot"].as_str().unwrap().replace("$${", "${").replace("%%{", "%{");
    let named = text
        .replace("${aws_s3_bucket.release.bucket}", "shop-release-x")
        .replace("${aws_iam_role.host.name}", "shop-host")
        .replace("${google_storage_bucket.release.name}", "shop-release-x")
        .replace("${alicloud_oss_bucket.release.id}", "shop-release-x")
        .replace("${alicloud_ram_role.host.name}", "shop-host");
    let whole = named.replace("${local.boot}", &boot);
    assert!(!named.replace("${local.boot}", "").contains("${"), "{named}");
    whole
}

#[test]
fn every_script_is_one_that_a_shell_reads_and_a_provider_takes() {
    let folder = Folder::new("read");
    for (name, plan, options) in variants().into_iter().filter(|(name, ..)| !name.contains("sixty")) {
        let document = document(&provider::terraform(&plan, &options).unwrap());
        for (kind, machine, body) in
            resources(&document).into_iter().filter(|(kind, ..)| kind.ends_with("_instance"))
        {
            let script = script(&document, body);
            assert!(script.len() <= USER_DATA_MAX, "{name}: {kind}.{machine} has {} bytes", script.len());
            let file = folder.0.join("script");
            fs::write(&file, script).unwrap();
            let read = Command::new("bash").arg("-n").arg(&file).output().unwrap();
            assert!(read.status.success(), "{name}: {}", String::from_utf8_lossy(&read.stderr));
        }
    }
}

/// What a machine would have of the world: programs that only write down how they were called.
fn world(folder: &Folder) {
    for quiet in ["systemctl", "apt-get", "mount"] {
        folder.program(quiet, &format!("echo {quiet} \"$@\" >> \"$EK_TOP/calls\""));
    }
    // Everything belongs to whoever runs the test.
    folder.program(
        "install",
        "args=(); while [ $# -gt 0 ]; do case $1 in -o | -g) shift 2 ;; *) args+=(\"$1\"); shift ;; esac; done; exec /usr/bin/install \"${args[@]}\"",
    );
    folder.program("mountpoint", "exit 0");
    folder.program("python3", "cp \"$EK_TOP/bucket/$2\" \"$3\"");
}

fn run(folder: &Folder, script: &str) -> Output {
    let file = folder.0.join("script");
    fs::write(&file, script).unwrap();
    let path = format!("{}:{}", folder.0.join("bin").display(), std::env::var("PATH").unwrap());
    Command::new("bash").arg(&file).env("EK_TOP", &folder.0).env("PATH", path).output().unwrap()
}

/// The bucket as `upload.sh` fills it: this run's identity, and the programs.
fn bucket(folder: &Folder) {
    let app = model::AppName::new("shop").unwrap();
    let state = folder.0.join("state");
    fs::create_dir(&state).unwrap();
    identity::Authority::open_or_create(&state.join("identity"), &app, SystemTime::now()).unwrap();
    let program = folder.0.join("evenkeel");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(folder.0.join("app/.evenkeel")).unwrap();
    fs::create_dir_all(folder.0.join("bucket")).unwrap();
    fs::write(folder.0.join("app/evenkeel.yaml"), FILE).unwrap();
    fs::write(folder.0.join("app/.evenkeel/secret"), "x").unwrap();
    let upload = &terraform(&plan("aws")).files["upload.sh"];
    folder.program("terraform", "echo shop-release-x");
    folder.program("aws", "name=${4##*/}; exec cat > \"$EK_TOP/bucket/$name\"");
    fs::write(folder.0.join("upload.sh"), upload.replace("aws s3 cp --only-show-errors - ", "aws s3 cp - "))
        .unwrap();
    let path = format!("{}:{}", folder.0.join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg("upload.sh").args(["state", "evenkeel", "app"]).current_dir(&folder.0);
    let told = command.env("EK_TOP", &folder.0).env("PATH", path).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn a_machine_becomes_a_host_once_and_its_secrets_are_its_owners_alone() {
    let test = "a_machine_becomes_a_host_once_and_its_secrets_are_its_owners_alone";
    if !has("openssl", test) {
        return;
    }
    let folder = Folder::new("host");
    bucket(&folder);
    world(&folder);
    let document = document(&terraform(&plan("aws")));
    let script = script(&document, &document["resource"]["aws_instance"]["db_b1"]);
    let first = run(&folder, &script);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let at = |path: &str| folder.0.join(path);
    let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o777;

    // The authority came through the bucket, and nobody else reads it.
    assert_eq!(mode("var/lib/evenkeel/state"), 0o700);
    assert_eq!(mode("var/lib/evenkeel/state/identity/authority.pem"), 0o600);
    assert_eq!(mode("etc/evenkeel/store/key.pem"), 0o600);
    assert_eq!(mode("etc/evenkeel/etcd/key.pem"), 0o600);
    assert!(!at("etc/evenkeel/identity.tar.gz").exists(), "a copy of the secrets is left");
    assert_eq!(mode("var/lib/evenkeel"), 0o711, "PostgreSQL has to pass through");
    assert!(at("opt/evenkeel/bin/evenkeel").is_file() && at("opt/evenkeel/app/evenkeel.yaml").is_file());
    assert!(!at("opt/evenkeel/app/.evenkeel").exists(), "the state folder is no program");

    // Its certificate is good for its own address, and for no other one.
    let verify = |address: &str| {
        let store = at("etc/evenkeel/store");
        let mut openssl = Command::new("openssl");
        openssl.args(["verify", "-verify_ip", address, "-purpose", "sslserver", "-CAfile"]);
        openssl.arg(store.join("ca.pem")).arg(store.join("cert.pem")).output().unwrap().status.success()
    };
    assert!(verify("10.0.16.11") && !verify("10.0.0.11"));
    let ca = fs::read_to_string(at("etc/evenkeel/store/ca.pem")).unwrap();
    assert!(ca.contains("BEGIN CERTIFICATE") && !ca.contains("PRIVATE"), "the authority's key went along");

    let unit = |name: &str| fs::read_to_string(at("etc/systemd/system").join(name)).unwrap();
    let agent = unit("evenkeel-agent.service");
    let store = "--store etcds://10.0.16.11:2379,10.0.0.11:2379,10.0.32.11:2379";
    assert!(
        agent.contains("agent --zone b ") && agent.contains(store) && agent.contains("--address 10.0.16.11"),
        "{agent}"
    );
    let etcd = unit("evenkeel-store.service");
    let members = "a=https://10.0.0.11:2380,b=https://10.0.16.11:2380,c=https://10.0.32.11:2380";
    assert!(etcd.contains(members) && etcd.contains("--name b "), "{etcd}");
    assert!(!at("etc/systemd/system/evenkeel-first-plan.service").exists(), "one machine hands the plan out");

    let certificate = fs::read(at("etc/evenkeel/store/cert.pem")).unwrap();
    let second = run(&folder, &script);
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(fs::read(at("etc/evenkeel/store/cert.pem")).unwrap(), certificate, "made anew for nothing");
}

#[test]
fn one_machine_hands_the_plan_out_and_one_without_an_agent_stays_as_it_is() {
    if !has("openssl", "one_machine_hands_the_plan_out_and_one_without_an_agent_stays_as_it_is") {
        return;
    }
    let folder = Folder::new("first");
    bucket(&folder);
    world(&folder);
    let document = document(&terraform(&plan("gcp")));
    let machines = &document["resource"]["google_compute_instance"];
    let idle = run(&folder, &script(&document, &machines["web_a1"]));
    assert!(
        idle.status.success() && !folder.0.join("calls").exists(),
        "{}",
        String::from_utf8_lossy(&idle.stderr)
    );
    assert!(!folder.0.join("var/lib/evenkeel/state").exists(), "a machine without an agent has the secrets");
    let first = run(&folder, &script(&document, &machines["db_a1"]));
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let unit = fs::read_to_string(folder.0.join("etc/systemd/system/evenkeel-first-plan.service")).unwrap();
    assert!(
        unit.contains("up --store etcds://10.0.0.11:2379,") && unit.contains("app/evenkeel.yaml"),
        "{unit}"
    );
    let calls = fs::read_to_string(folder.0.join("calls")).unwrap();
    assert!(
        calls.contains("apt-get install") && calls.contains("etcd-server openssl postgresql-15"),
        "{calls}"
    );
}

/// The published examples: "Signature Calculations for the Authorization Header" of Amazon S3 (`GET` of a range), and the
/// first test of the signer of Alibaba Cloud's own SDK for Go, version 2.
const VECTORS: &str = r#"
import fetch
empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
headers = {"host": "examplebucket.s3.amazonaws.com", "range": "bytes=0-9", "x-amz-content-sha256": empty,
           "x-amz-date": "20130524T000000Z"}
keys = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
found = fetch.authorization(fetch.AWS, "GET", "/test.txt", "", headers, empty, keys, "us-east-1", "20130524T000000Z")
assert found.endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"), found
headers = {"x-oss-head1": "value", "content-type": "text/plain", "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
           "x-oss-date": "20231216T162057Z"}
query = "%2Bparam1=value3&%2Bparam2&%7Cparam1=value4&%7Cparam2&param1=value1&param2"
found = fetch.authorization(fetch.OSS, "PUT", "/bucket/1234%2B-/123/1.txt", query, headers, "UNSIGNED-PAYLOAD",
                            ("ak", "sk"), "cn-hangzhou", "20231216T162057Z")
assert found == ("OSS4-HMAC-SHA256 Credential=ak/20231216/cn-hangzhou/oss/aliyun_v4_request,Signature="
                 "e21d18daa82167720f9b1047ae7e7f1ce7cb77a31e8203a7d5f4624fa0284afe"), found

asked = []
def ask(url, headers=None, method="GET"):
    asked.append((method, url, dict(headers or {})))
    if url.endswith("api/token"):
        return b"token"
    if "security-credentials/role" in url:
        return b'{"AccessKeyId":"a","SecretAccessKey":"s","AccessKeySecret":"s","Token":"t","SecurityToken":"t"}'
    if url.endswith("/token"):
        return b'{"access_token":"t"}'
    return b"data"
fetch.ask = ask
for provider, count, last in [
    (fetch.from_aws, 3, "https://b.s3.r.amazonaws.com/identity.tar.gz"),
    (fetch.from_alicloud, 3, "https://b.oss-r-internal.aliyuncs.com/identity.tar.gz"),
    (fetch.from_gcp, 2, "https://storage.googleapis.com/storage/v1/b/b/o/identity.tar.gz?alt=media"),
]:
    asked.clear()
    assert provider("b", "r", "identity.tar.gz", "role") == b"data"
    assert len(asked) == count and asked[-1][1] == last, asked
    assert "Authorization" in asked[-1][2], asked
    # The metadata service tells its keys to whoever has asked for a token first, and to nobody else.
    assert count == 2 or (asked[0][0] == "PUT" and any("metadata-token" in name for name in asked[1][2])), asked
    assert all(url.startswith("https://") or "169.254.169.254" in url or "100.100.100.200" in url
               or "metadata.google.internal" in url for _, url, _ in asked), asked
"#;

#[test]
fn a_request_for_a_secret_is_signed_as_the_providers_published_examples_are() {
    if !has("python3", "a_request_for_a_secret_is_signed_as_the_providers_published_examples_are") {
        return;
    }
    let folder = Folder::new("signed");
    fs::write(folder.0.join("fetch.py"), include_str!("../../src/boot/fetch.py")).unwrap();
    let told = Command::new("python3").args(["-B", "-c", VECTORS]).current_dir(&folder.0).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}
