use super::*;

const HEADER: &str = r#""header":{"cluster_id":"14","member_id":"1","revision":"7","raft_term":"2"}"#;

fn part() -> Part {
    Part::new("p")
}

#[test]
fn what_is_asked_is_in_etcds_form() {
    let compare = vec![Compare::Modified { key: "a".to_owned(), revision: 0 }];
    let then = vec![
        Op::Put { key: "a".to_owned(), value: vec![0xff, 0], lease: Some(LeaseId(u64::MAX >> 1)) },
        Op::Delete { key: "b".to_owned() },
    ];
    let asked = txn(&part(), &Txn { compare, then });
    let want = json!({
        "compare": [{ "key": "cC9h", "target": "MOD", "result": "EQUAL", "mod_revision": "0" }],
        "success": [
            { "request_put": { "key": "cC9h", "value": "/wA=", "lease": "9223372036854775807" } },
            { "request_delete_range": { "key": "cC9i" } },
        ],
    });
    assert_eq!(serde_json::from_str::<Value>(&asked).unwrap(), want);
}

#[test]
fn a_part_ends_before_its_neighbour() {
    let end = |prefix| String::from_utf8(STANDARD.decode(part().end(prefix)).unwrap()).unwrap();
    assert_eq!(end(""), "p0");
    assert_eq!(end("a/"), "p/a0");
    assert_eq!(part().ours(&STANDARD.encode("p/a")), Ok(Some("a".to_owned())));
    for foreign in [&b"p"[..], b"p/", b"p0", b"q/a", b"p/\xff"] {
        assert_eq!(part().ours(&STANDARD.encode(foreign)), Ok(None));
    }
}

#[test]
fn a_time_to_live_is_rounded_up_to_seconds() {
    for (ms, s) in [(50, "1"), (1_000, "1"), (1_001, "2"), (1_500, "2"), (86_400_000, "86400")] {
        let asked: Value = serde_json::from_str(&grant(LeaseId(1), ms)).unwrap();
        assert_eq!(asked["TTL"], s, "{ms}");
    }
}

#[test]
fn what_is_zero_is_left_out_and_understood() {
    let body = format!(r#"{{{HEADER},"kvs":[{{"key":"cC9h","create_revision":"2","mod_revision":"3"}}]}}"#);
    let answer: RangeAnswer = read(200, body.as_bytes()).unwrap();
    let entry = Entry { key: "a".to_owned(), value: vec![], created: 2, modified: 3, lease: None };
    assert_eq!(answer.entries(&part()), Ok(vec![entry]));
    let gone: KeepAliveAnswer =
        read(200, format!(r#"{{"result":{{{HEADER},"ID":"9"}}}}"#).as_bytes()).unwrap();
    assert!(!gone.alive());
}

/// The first of each is etcd 3.4.23's, word for word; the second has the form of newer gateways.
#[test]
fn etcds_no_is_understood() {
    let words = r#""error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found""#;
    let old = format!(r#"{{{words},"code":5}}"#);
    let new = r#"{"code":5, "message":"etcdserver: requested lease not found", "details":[]}"#;
    for body in [old.as_str(), new] {
        assert_eq!(read::<TxnAnswer>(404, body.as_bytes()).unwrap_err(), Fault::NoLease, "{body}");
    }
    let old = r#"{"error":{"grpc_code":16,"http_code":401,"message":"etcdserver: invalid auth token","http_status":"Unauthorized"}}"#;
    let new = r#"{"error":{"code":16, "message":"etcdserver: invalid auth token", "details":[]}}"#;
    for body in [old, new] {
        assert_eq!(read::<KeepAliveAnswer>(200, body.as_bytes()).unwrap_err(), Fault::NoLogin, "{body}");
        assert_eq!(read_line(body.as_bytes()).unwrap_err(), Fault::NoLogin, "{body}");
    }
}

/// Nothing a broken or hostile gateway says ends in a panic, or passes for an answer.
#[test]
fn nonsense_is_an_error() {
    let deep = "[".repeat(100_000);
    let number = format!(r#"{{{HEADER},"succeeded":1}}"#);
    for (status, body) in [
        (200, ""),
        (200, "null"),
        (200, "{}"),
        (200, r#"{"header":{}}"#),
        (200, r#"{"header":{"cluster_id":"1","revision":"-1"}}"#),
        (200, r#"{"header":{"cluster_id":"1","revision":"99999999999999999999"}}"#),
        (200, r#"{"header":{"cluster_id":1.5,"revision":2}}"#),
        (200, number.as_str()),
        (200, deep.as_str()),
        (200, "<html>welcome</html>"),
        (404, "Not Found"),
        (502, "<html>bad gateway</html>"),
        (500, r#"{"code":"x"}"#),
    ] {
        let read = read::<TxnAnswer>(status, body.as_bytes());
        assert!(matches!(read, Err(Fault::Unclear(_))), "{status} {body:.40}: {read:?}");
    }
    for line in ["", "{}", r#"{"result":null}"#, r#"{"result":{"events":[{}]}}"#, "\u{0}", &deep] {
        assert!(matches!(read_line(line.as_bytes()), Err(Fault::Unclear(_))), "{line:.40}");
    }
    for kv in [
        r#"{"key":"*"}"#,
        r#"{"key":"cC9h"}"#,
        r#"{"key":"cC9h","create_revision":"3","mod_revision":"2"}"#,
        r#"{"key":"cC9h","create_revision":"1","mod_revision":"2","value":"%"}"#,
    ] {
        let body = format!(r#"{{{HEADER},"kvs":[{kv}]}}"#);
        let answer: RangeAnswer = read(200, body.as_bytes()).unwrap();
        assert!(answer.entries(&part()).is_err(), "{kv}");
        let line = format!(r#"{{"result":{{{HEADER},"events":[{{"type":"LATER","kv":{kv}}}]}}}}"#);
        assert!(read_line(line.as_bytes()).unwrap().events(&part()).is_err(), "{kv}");
    }
}

#[test]
fn a_member_that_is_full_or_will_be_says_so_with_the_way_out() {
    let told = |fields: &str| {
        let header = r#""header":{"cluster_id":"7","member_id":"8","revision":"9","raft_term":"2"}"#;
        let body = format!("{{{header},\"version\":\"3.4.23\"{fields}}}");
        read::<StatusAnswer>(200, body.as_bytes()).unwrap().complaint()
    };
    assert_eq!(told(r#","dbSize":"20480","dbSizeInUse":"16384""#), None);
    assert_eq!(told(r#","errors":["etcdserver: no leader"]"#), None, "who reads hears that by itself");
    let full = told(r#","dbSize":"2147483648","errors":["memberID:10276657743932975437 alarm:NOSPACE "]"#);
    assert!(full.unwrap().starts_with("etcd takes no write: its file has reached its quota"));
    let half = told(r#","dbSize":"1073741824""#).unwrap();
    assert!(half.starts_with("etcd's file has grown to 1G; at its quota, 2G unless"), "{half}");
    assert!(half.contains("\nhint: start its members with `--auto-compaction-retention 10m`"), "{half}");
    assert_eq!(told(r#","dbSize":"1073741823""#), None);
    let corrupt = told(r#","errors":["memberID:1 alarm:CORRUPT "]"#).unwrap();
    assert!(corrupt.starts_with("etcd has raised the alarm CORRUPT\nhint: "), "{corrupt}");
    let hostile = told(r#","errors":["memberID:1 alarm:\u001b[2JCORRUPT "]"#).unwrap();
    assert!(hostile.starts_with("etcd has raised the alarm that has no name\n"), "{hostile:?}");
    assert!(read::<StatusAnswer>(200, b"{}").is_err());
}

/// Whoever adds a line here that says "not carried out" must know it of etcd's source.
#[test]
fn only_what_was_surely_not_done_may_be_done_again() {
    let table: &[(u32, &str, Fault)] = &[
        (5, "etcdserver: requested lease not found", Fault::NoLease),
        (9, "etcdserver: lease already exists", Fault::LeaseExists),
        (11, "etcdserver: mvcc: required revision has been compacted", Fault::Compacted),
        (11, "etcdserver: mvcc: required revision is a future revision", Fault::Future),
        (8, "grpc: received message larger than max (9 vs. 8)", Fault::TooLong),
        (8, "etcdserver: too many requests", Fault::Busy),
        (16, "etcdserver: invalid auth token", Fault::NoLogin),
        (3, "etcdserver: revision of auth store is old, revision in header is old", Fault::NoLogin),
    ];
    for (code, message, want) in table {
        assert_eq!(judge(*code, message), *want, "{message}");
    }
    assert!(matches!(judge(2, "raft proposal dropped"), Fault::NotHere(_)));
    assert!(matches!(judge(14, "etcdserver: no leader"), Fault::NotHere(_)));
    assert!(matches!(judge(8, "etcdserver: mvcc: database space exceeded"), Fault::NotNow(_)));
    assert!(matches!(judge(7, "etcdserver: permission denied"), Fault::Never(_)));
    for (code, message) in [
        (14, "etcdserver: request timed out"),
        (14, "etcdserver: request timed out, possibly due to previous leader failure"),
        (14, "etcdserver: server stopped"),
        (14, "etcdserver: leader changed"),
        (14, "transport is closing"),
        (13, "anything"),
        (2, "context deadline exceeded"),
        (999, ""),
    ] {
        assert!(matches!(judge(code, message), Fault::Unclear(_)), "{message}");
    }
}
