//! Who may use whom: the layer table of the design.

use super::Found;
use super::decide::paths;
use super::tree::Tree;

/// Layers of the packages, lowest first. A package uses lower layers only.
pub(super) const LAYERS: &[(u8, &[&str])] = &[
    (1, &["model"]),
    (2, &["spec", "world", "identity", "plan"]),
    (3, &["store", "net", "engine", "provider", "security"]),
    (4, &["balance", "zone", "database", "cache", "scale", "backup", "monitor"]),
    (5, &["drill", "console"]),
    (6, &["evenkeel"]),
    // Judges the whole from outside, so it may know all of it.
    (7, &["it", "bench"]),
];

/// Packages that use nothing of evenkeel: an example is an application like a user's own, and `xtask` must build
/// before anything else does.
const ALONE: &[&str] = &["shop", "xtask"];

/// The layer of a package of this workspace; 0 for those that use none.
pub(super) fn layer(package: &str) -> Option<u8> {
    if ALONE.contains(&package) {
        return Some(0);
    }
    LAYERS.iter().find(|(_, names)| names.contains(&package)).map(|(layer, _)| *layer)
}

pub(super) fn check(tree: &Tree, found: &mut Found) {
    for manifest in tree.manifests.iter().filter(|m| !m.name.is_empty()) {
        let Some(own) = layer(&manifest.name) else {
            let why =
                format!("`{}` is not in the layer table, so nobody knows who may use it", manifest.name);
            found.add(&manifest.path, 1, "layer", why, "add it to `LAYERS` in xtask/src/tidy/layers.rs");
            continue;
        };
        for (dependency, line) in &manifest.dependencies {
            judge(&manifest.path, *line, &manifest.name, own, dependency, found);
        }
        if !manifest.workspace_lints {
            let why = "the lints of the workspace do not apply here, `unsafe_code = \"forbid\"` among them";
            found.add(&manifest.path, 1, "lints", why, "add `[lints]` with `workspace = true`");
        }
    }
    for file in &tree.rust {
        let Some(own) = layer(&file.package) else { continue };
        for path in paths(&file.source.tokens) {
            let Some(root) = path.segments.first() else { continue };
            // A module may be called as a crate is, `mod plan` in `model`; then its name means the module.
            let module = tree.rust.iter().any(|f| f.package == file.package && f.modules.contains(root));
            if *root != file.package && !module {
                judge(&file.path, path.line, &file.package, own, root, found);
            }
        }
    }
}

fn judge(path: &str, line: usize, name: &str, own: u8, used: &str, found: &mut Found) {
    let Some(theirs) = layer(used).filter(|_| used != name) else { return };
    if theirs == 0 || theirs >= own {
        let why = format!(
            "`{name}` (layer {own}) uses `{used}` (layer {theirs}); a crate uses lower layers only, so that each part can be read and tested alone"
        );
        let way_out = "meet through types of `model`, wired in crates/evenkeel/src/wire";
        found.add(path, line, "layer", why, way_out);
    }
}
