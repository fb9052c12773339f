//! The real binary, asked over real sockets.

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpStream;
    use std::path::PathBuf;
    use std::process::{Child, Command, Output, Stdio};
    use std::time::{Duration, Instant};

    struct Running {
        child: Child,
        address: String,
        folder: PathBuf,
    }

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("shop-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn start(name: &str, more: &[&str]) -> Running {
        let folder = folder(name);
        let mut child = Command::new(env!("CARGO_BIN_EXE_shop"))
            .args(["--port", "0", "--unit", "web-1", "--journal"])
            .arg(folder.join("orders.journal"))
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Running { child, address, folder }
    }

    impl Running {
        fn open(&self, request: &str) -> TcpStream {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        }

        fn ask(&self, method: &str, path: &str, body: &str) -> String {
            whole(self.open(&format!(
                "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )))
        }

        fn journal(&self) -> String {
            std::fs::read_to_string(self.folder.join("orders.journal")).unwrap()
        }

        fn terminate(&self) {
            let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
            assert!(killed.success());
        }
    }

    fn whole(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn an_order_is_in_the_journal_once_for_each_time_it_was_carried_out() {
        let shop = start("orders", &[]);
        let order = r#"{"id":"o-1","item":"mug"}"#;
        let answer = shop.ask("POST", "/orders", order);
        assert!(answer.starts_with("HTTP/1.1 201 ") && answer.ends_with(r#"{"id":"o-1"}"#), "{answer}");
        let line = shop.journal();
        assert!(
            line.starts_with(r#"{"id":"o-1","at_ms":"#) && line.ends_with("\"unit\":\"web-1\"}\n"),
            "{line}"
        );
        assert!(shop.ask("GET", "/orders/o-1", "").ends_with(r#"{"id":"o-1","item":"mug"}"#));
        assert!(shop.ask("GET", "/orders/o-2", "").starts_with("HTTP/1.1 404 "));
        // A retry that should not have happened shows.
        assert!(shop.ask("POST", "/orders", order).starts_with("HTTP/1.1 201 "));
        assert_eq!(shop.journal().lines().count(), 2);
    }

    #[test]
    fn every_page_answers_and_nonsense_is_refused_without_an_effect() {
        let shop = start("pages", &[]);
        for (path, part) in
            [("/", "<h1>Everything for tea</h1>"), ("/products", "\"kettle\""), ("/slow?ms=1", "1")]
        {
            let answer = shop.ask("GET", path, "");
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(part), "{path}: {answer}");
        }
        let cart = shop.ask("POST", "/cart", r#"{"items":["mug","mug"]}"#);
        assert!(cart.contains("\"total_cents\":1780"), "{cart}");
        let long = format!(r#"{{"id":"{}","item":"mug"}}"#, "x".repeat(201));
        let huge = format!(r#"{{"id":"{}","item":"mug"}}"#, "x".repeat(70_000));
        for body in ["", "{", "[]", "{}", r#"{"id":"","item":"mug"}"#, r#"{"id":"a\nb","item":"mug"}"#]
            .into_iter()
            .chain([r#"{"id":"a","item":"car"}"#, r#"{"id":7,"item":"mug"}"#, &long, &huge])
        {
            let answer = shop.ask("POST", "/orders", body);
            assert!(answer.starts_with("HTTP/1.1 4"), "{}: {answer}", &body[..body.len().min(40)]);
        }
        for path in ["/slow?ms=-1", "/slow?ms=99999999", "/slow?ms=x", "/nothing"] {
            let answer = shop.ask("GET", path, "");
            assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        }
        assert_eq!(shop.journal(), "");
    }

    #[test]
    fn a_busy_replica_lets_others_wait_and_still_says_that_it_is_well() {
        let shop = start("slots", &["--slots", "1", "--service-time", "10ms"]);
        let busy = shop.open("GET /slow?ms=700 HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
        std::thread::sleep(Duration::from_millis(150));
        let begin = Instant::now();
        assert!(shop.ask("GET", "/healthz", "").starts_with("HTTP/1.1 200 "));
        let well_after = begin.elapsed();
        assert!(shop.ask("GET", "/products", "").starts_with("HTTP/1.1 200 "));
        assert!(whole(busy).starts_with("HTTP/1.1 200 "));
        assert!(well_after < begin.elapsed(), "{well_after:?}");
        // The page had to wait for the slot; the health check had not.
        assert!(begin.elapsed() > Duration::from_millis(300), "{:?}", begin.elapsed());
    }

    #[test]
    fn a_stop_finishes_what_is_open_and_ends_well() {
        let mut shop = start("stop", &[]);
        let open = shop.open("GET /slow?ms=600 HTTP/1.1\r\nhost: shop\r\n\r\n");
        let idle = shop.open("");
        std::thread::sleep(Duration::from_millis(150));
        shop.terminate();
        std::thread::sleep(Duration::from_millis(100));
        assert!(TcpStream::connect(&shop.address).is_err(), "it still takes new connections");
        let answer = whole(open);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close"), "{answer}");
        drop(idle);
        assert_eq!(shop.child.wait().unwrap().code(), Some(0));
    }

    fn refused(args: &[&str]) -> Output {
        let output = Command::new(env!("CARGO_BIN_EXE_shop")).args(args).output().unwrap();
        assert!(!output.status.success());
        output
    }

    #[test]
    fn a_start_that_cannot_be_says_why() {
        let shop = start("refused", &[]);
        let port = shop.address.rsplit(':').next().unwrap();
        let journal = shop.folder.join("orders.journal");
        let journal = journal.to_str().unwrap();
        for (args, part) in [
            (
                &["--journal", "/nowhere/orders.journal"][..],
                "cannot open the journal `/nowhere/orders.journal`",
            ),
            (&["--journal", "/"], "cannot open the journal `/`"),
            (&["--journal", journal, "--port", port], "cannot listen on 127.0.0.1:"),
            (&["--journal", journal, "--slots", "0"], "0 is not in 1..=10000"),
            (&["--journal", journal, "--service-time", "soon"], "expected a duration"),
            (&[], "--journal"),
        ] {
            let text = String::from_utf8(refused(args).stderr).unwrap();
            assert!(text.contains(part), "{args:?}: {text}");
        }
    }
}
