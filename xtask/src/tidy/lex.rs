//! A tokenizer of Rust source, just good enough to tell code from comments and strings and to find where items
//! end. `syn` would take longer to build than everything else here together, and it drops comments.

/// What a [`Token`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or keyword; `r#` is taken off.
    Ident,
    /// One punctuation character; `::` is two of them.
    Punct,
    /// A string of any kind, without quotes and prefix.
    Str,
    /// A character or a number.
    Other,
    /// A lifetime, with its quote.
    Lifetime,
}

/// One token of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: String,
    /// Its first line, from 1.
    pub line: usize,
    /// Its last line; differs from `line` for long strings only.
    pub last_line: usize,
}

/// One line of comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Its line, from 1.
    pub line: usize,
    /// Its text with the slashes or stars.
    pub text: String,
    /// Nothing but space stands before it on its line.
    pub alone: bool,
}

/// A file taken apart.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The code.
    pub tokens: Vec<Token>,
    /// The comments, in order, one for each line of a block comment.
    pub comments: Vec<Comment>,
    /// How many lines the file has.
    pub lines: usize,
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    out: Source,
}

/// Takes `text` apart. Never fails: what is no Rust becomes tokens nobody looks for.
#[must_use]
pub fn lex(text: &str) -> Source {
    let mut cursor = Cursor { text: text.as_bytes(), at: 0, line: 1, out: Source::default() };
    while cursor.at < cursor.text.len() {
        cursor.step();
    }
    cursor.out.lines = text.lines().count();
    cursor.out
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Cursor<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn slice(&self, from: usize, to: usize) -> String {
        String::from_utf8_lossy(&self.text[from.min(self.text.len())..to.min(self.text.len())]).into_owned()
    }

    fn push(&mut self, kind: Kind, text: String, line: usize) {
        self.out.tokens.push(Token { kind, text, line, last_line: self.line });
    }

    fn step(&mut self) {
        match self.peek(0) {
            b'\n' => {
                self.line += 1;
                self.at += 1;
            }
            b' ' | b'\t' | b'\r' => self.at += 1,
            b'/' if self.peek(1) == b'/' => self.line_comment(),
            b'/' if self.peek(1) == b'*' => self.block_comment(),
            b'"' => self.quoted(None),
            b'\'' => self.quote(),
            byte if byte.is_ascii_digit() => self.number(),
            byte if is_word(byte) => self.word(),
            byte => {
                self.at += 1;
                let line = self.line;
                self.push(Kind::Punct, char::from(byte).to_string(), line);
            }
        }
    }

    fn comment(&mut self, from: usize, to: usize) {
        let text = self.slice(from, to).trim().to_owned();
        let alone = self.out.tokens.last().is_none_or(|token| token.last_line != self.line);
        self.out.comments.push(Comment { line: self.line, text, alone });
    }

    fn line_comment(&mut self) {
        let from = self.at;
        while self.at < self.text.len() && self.peek(0) != b'\n' {
            self.at += 1;
        }
        self.comment(from, self.at);
    }

    fn block_comment(&mut self) {
        let mut from = self.at;
        let mut depth = 0usize;
        while self.at < self.text.len() {
            if self.peek(0) == b'/' && self.peek(1) == b'*' {
                depth += 1;
                self.at += 2;
            } else if self.peek(0) == b'*' && self.peek(1) == b'/' {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    break;
                }
            } else {
                if self.peek(0) == b'\n' {
                    self.comment(from, self.at);
                    self.line += 1;
                    from = self.at + 1;
                }
                self.at += 1;
            }
        }
        self.comment(from, self.at);
    }

    /// The body of a string, from its opening quote. `raw`: how many `#` close it; no escapes then.
    fn quoted(&mut self, raw: Option<usize>) {
        let line = self.line;
        self.at += 1;
        let from = self.at;
        let mut end = self.text.len();
        while self.at < self.text.len() {
            match self.peek(0) {
                b'\\' if raw.is_none() => {
                    self.at += 1;
                    if self.peek(0) == b'\n' {
                        self.line += 1;
                    }
                }
                b'\n' => self.line += 1,
                b'"' => {
                    let closing = raw.unwrap_or(0);
                    if (1..=closing).all(|ahead| self.peek(ahead) == b'#') {
                        end = self.at;
                        self.at += 1 + closing;
                        break;
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        let text = self.slice(from, end);
        self.push(Kind::Str, text, line);
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        let line = self.line;
        let from = self.at;
        let escaped = self.peek(1) == b'\\';
        let mut width = 1;
        while !escaped && self.peek(1 + width) & 0xC0 == 0x80 {
            width += 1;
        }
        if !escaped && self.peek(1 + width) != b'\'' {
            self.at += 1;
            while is_word(self.peek(0)) {
                self.at += 1;
            }
            let text = self.slice(from, self.at);
            self.push(Kind::Lifetime, text, line);
            return;
        }
        self.at += if escaped { 3 } else { 1 + width };
        while self.at < self.text.len() && self.peek(0) != b'\'' && self.peek(0) != b'\n' {
            self.at += 1;
        }
        self.at += 1;
        let text = self.slice(from, self.at);
        self.push(Kind::Other, text, line);
    }

    fn number(&mut self) {
        let from = self.at;
        while is_word(self.peek(0)) || (self.peek(0) == b'.' && self.peek(1).is_ascii_digit()) {
            self.at += 1;
        }
        let (text, line) = (self.slice(from, self.at), self.line);
        self.push(Kind::Other, text, line);
    }

    fn word(&mut self) {
        let from = self.at;
        while is_word(self.peek(0)) {
            self.at += 1;
        }
        let text = self.slice(from, self.at);
        let prefix = matches!(text.as_str(), "r" | "b" | "br" | "c" | "cr");
        if prefix && self.peek(0) == b'"' {
            self.quoted(text.contains('r').then_some(0));
            return;
        }
        if text == "b" && self.peek(0) == b'\'' {
            self.quote();
            return;
        }
        if prefix && text.contains('r') && self.peek(0) == b'#' {
            let mut hashes = 0;
            while self.peek(hashes) == b'#' {
                hashes += 1;
            }
            if self.peek(hashes) == b'"' {
                self.at += hashes;
                self.quoted(Some(hashes));
                return;
            }
            // A raw identifier: `r#type`.
            self.at += 1;
            self.word();
            return;
        }
        let line = self.line;
        self.push(Kind::Ident, text, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let source = lex(text);
        let code: Vec<String> = source.tokens.iter().map(|t| format!("{}@{}", t.text, t.line)).collect();
        assert_eq!(code.join(" "), expected, "{text}");
    }

    #[test]
    fn what_stands_in_strings_and_comments_is_no_code() {
        check("a // b.unwrap()\nc", "a@1 c@2");
        check("a /* x /* y */ z\n */ c", "a@1 c@2");
        check("\"// no\" c", "// no@1 c@1");
        check("r#\"a\"b\"# c", "a\"b@1 c@1");
        check("r\"\\\" c", "\\@1 c@1");
        check("b\"a\\\"b\" c", "a\\\"b@1 c@1");
        check("\"a\nb\" c", "a\nb@1 c@2");
        check("\"a\\\nb\" c", "a\\\nb@1 c@2");
    }

    #[test]
    fn a_lifetime_opens_no_character() {
        check("<'a> 'x' '\\'' '\"' 'ü' b'\"' c", "<@1 'a@1 >@1 'x'@1 '\\''@1 '\"'@1 'ü'@1 '\"'@1 c@1");
        check("'\\u{41}' c", "'\\u{41}'@1 c@1");
        check("r#type 1.5e3 0..2", "type@1 1.5e3@1 0@1 .@1 .@1 2@1");
    }

    #[test]
    fn a_file_that_is_cut_off_ends() {
        for text in ["\"abc", "/* abc", "r##\"abc\"#", "'", "b'", "'\\", "r#", "a\\"] {
            assert!(lex(text).lines <= 1, "{text}");
        }
    }
}
