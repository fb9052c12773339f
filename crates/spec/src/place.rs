//! Byte offsets -> lines and columns.

/// A place as people count: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters (Unicode scalar values).
    pub column: usize,
}

/// Where each line of a text begins; finding a place costs a binary search and one line.
#[derive(Debug)]
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Looks through `text` once. Lines end with LF, CR LF or CR, as in YAML 1.2.
    #[must_use]
    pub fn new(text: &'t str) -> Lines<'t> {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
            if ends {
                starts.push(at + 1);
            }
        }
        Lines { text, starts }
    }

    /// The place of a byte offset; one past the end is the end.
    #[must_use]
    pub fn place(&self, offset: usize) -> Place {
        let (line, before, _) = self.line(offset);
        Place { line, column: before.chars().count() + 1 }
    }

    /// The number of the line `offset` is in, what stands before it and what from it on; no byte order mark.
    pub(crate) fn line(&self, offset: usize) -> (usize, &'t str, &'t str) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let end = self.starts.get(line).copied().unwrap_or(self.text.len());
        let before = &self.text[start..offset];
        let before = if start == 0 { before.strip_prefix('\u{feff}').unwrap_or(before) } else { before };
        let after = if offset == 0 {
            self.text[..end].trim_start_matches('\u{feff}')
        } else {
            &self.text[offset..end]
        };
        (line, before.trim_end_matches(['\r', '\n']), after.trim_end_matches(['\r', '\n']))
    }
}
