//! How long a file and a function may be.

use super::Found;
use super::tree::Tree;

/// A file holds fewer lines than this, tests not counted.
const FILE_LINES_MAX: usize = 800;
/// A function holds fewer lines than this, signature and braces included.
const FUNCTION_LINES_MAX: usize = 70;

pub(super) fn check(tree: &Tree, found: &mut Found) {
    for file in &tree.rust {
        let lines = file.product_lines();
        if lines >= FILE_LINES_MAX {
            let why = format!(
                "{lines} lines without tests; nobody holds {FILE_LINES_MAX} lines in the head at once"
            );
            found.add(&file.path, 1, "file size", why, "split it by what it is about");
        }
        for function in file.functions.iter().filter(|f| !file.is_test(f.line)) {
            let lines = function.last_line - function.line + 1;
            if lines >= FUNCTION_LINES_MAX {
                let why = format!(
                    "`{}` has {lines} lines; one of {FUNCTION_LINES_MAX} no longer fits a screen",
                    function.name
                );
                found.add(&file.path, function.line, "function size", why, "give its steps names");
            }
        }
    }
}
