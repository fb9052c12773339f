//! What a machine does at its first start: a script, with what differs between machines in its head.

use crate::firewall::STORE_PEER;
use crate::layout::{Layout, Machine};

const BOOT: &str = include_str!("boot.sh");
const FETCH: &str = include_str!("fetch.py");
const UPLOAD: &str = include_str!("upload.sh");
/// `EK_TOP` stands before every path; it is empty but in tests.
const FOLDER: &str = "umask 077\ntop=${EK_TOP:-}\netc=$top/etc/evenkeel\nmkdir -p \"$etc\"\n";

/// What all machines do alike; comes after [`head`].
pub(crate) fn common() -> String {
    format!("{FOLDER}cat > \"$etc/fetch.py\" << 'PYTHON'\n{FETCH}PYTHON\n{BOOT}")
}

/// What is this machine's own. `bucket` and `role`: as the provider's template fills them in.
pub(crate) fn head(layout: &Layout<'_>, machine: &Machine, bucket: &str, role: &str) -> String {
    let zone = |machine: &Machine| layout.zones.get(machine.zone).map_or('a', |zone| zone.letter);
    let member = |member: &Machine| format!("{}=https://{}:{STORE_PEER}", zone(member), member.address);
    let members: Vec<String> = layout.members().map(member).collect();
    let is_first = layout.members().next().is_some_and(|first| first.name == machine.name);
    let flag = |set: bool| if set { "1" } else { "0" }.to_owned();
    let packages = if machine.agent { layout.packages() } else { String::new() };
    let all = [
        ("PROVIDER", layout.plan.provider.clone()),
        ("REGION", layout.plan.region.clone()),
        ("BUCKET", bucket.to_owned()),
        ("ROLE", role.to_owned()),
        ("ZONE", zone(machine).to_string()),
        ("ADDRESS", machine.address.to_string()),
        ("DATA_GB", machine.data_gb.map_or_else(String::new, |gb| gb.to_string())),
        ("AGENT", flag(machine.agent)),
        ("STORE", flag(machine.store)),
        ("FIRST", flag(is_first)),
        ("MEMBERS", members.join(",")),
        ("STORE_URL", layout.store_url(machine)),
        ("PACKAGES", packages),
        ("FILE", layout.options.file.clone()),
    ];
    let lines = all.iter().map(|(name, value)| format!("export EK_{name}={}\n", quoted(value)));
    format!("#!/bin/bash\n{}", lines.collect::<String>())
}

/// `text` as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Prints the bucket's name.
pub(crate) const TERRAFORM_BUCKET: &str = "terraform output -raw release_bucket";

/// The script that puts secrets and programs into the bucket, whose name `bucket` prints; `put` reads standard input and has
/// the object's name in `$1`.
pub(crate) fn upload(layout: &Layout<'_>, bucket: &str, put: &str) -> String {
    // The name stands inside double quotes; a letter that means something there would be the shell's.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let file: String = layout.options.file.chars().filter(|c| plain(*c)).collect();
    UPLOAD.replace("@FILE@", &file).replace("@BUCKET@", bucket).replace("@PUT@", put)
}
