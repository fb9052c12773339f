use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use world::Tasks;

use super::*;
use crate::{Class, ClientOptions, ServeOptions, Store, StoreError};

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("evenkeel-opening-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn token(&self, name: &str) -> Token {
        Token::load_or_create(&self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn serve(folder: &Folder, listen: SocketAddr, tasks: &Tasks) -> SocketAddr {
    let mut options = ServeOptions::new(listen, folder.0.join("store.db"), folder.token("token"));
    let (bound, is_bound) = oneshot::channel();
    options.bound = Some(bound);
    let stop = tasks.stop();
    tasks.spawn("server", async move {
        crate::serve(options, stop).await.unwrap();
    });
    is_bound.await.unwrap()
}

fn free() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// What one who took the store's port says to each client, whatever that sends.
#[derive(Clone)]
enum Says {
    /// These bytes after the client's hello, then it listens.
    Bytes(Vec<u8>),
    /// These bytes after the client's hello, then it closes.
    BytesAndEnd(Vec<u8>),
    /// The opening of a server with another token.
    Opening(Token),
}

/// What clients sent, by connection.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

async fn fake(says: Says, tasks: &Tasks) -> (SocketAddr, Heard) {
    let listener = TcpListener::bind(free()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Heard::default();
    let (all, spawner) = (heard.clone(), tasks.spawner());
    tasks.spawn("fake", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = {
                let mut all = all.lock().unwrap();
                all.push(Vec::new());
                all.len() - 1
            };
            spawner.spawn("fake/connection", deceive(stream, says.clone(), number, all.clone()));
        }
    });
    (address, heard)
}

async fn deceive(mut stream: TcpStream, says: Says, number: usize, heard: Heard) {
    let mut hello = [0; HELLO_BYTES];
    let read = read(&mut stream, &mut hello).await.unwrap_or(0);
    heard.lock().unwrap()[number].extend_from_slice(&hello[..read]);
    match says {
        Says::Bytes(bytes) => stream.write_all(&bytes).await.unwrap(),
        Says::BytesAndEnd(bytes) => return stream.write_all(&bytes).await.unwrap(),
        Says::Opening(token) => {
            let client = hello[MAGIC.len()..].try_into().unwrap();
            let nonces = Nonces { client, server: random().unwrap() };
            stream.write_all(&nonces.server).await.unwrap();
            stream.write_all(&nonces.proof(&token, SERVER)).await.unwrap();
        }
    }
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        heard.lock().unwrap()[number].extend_from_slice(&bytes[..read]);
    }
}

#[track_caller]
fn assert_no_secret(token: &Token, bytes: &[u8]) {
    // Eight bytes of it are as bad as all; by chance they are not there.
    let parts: Vec<&[u8]> = token.bytes().windows(8).collect();
    assert!(!bytes.windows(8).any(|window| parts.contains(&window)), "the token was sent");
}

/// A whole opening with the real server: what the client sent and what the server answered.
async fn overhear(address: SocketAddr, token: &Token) -> (Vec<u8>, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let client = random().unwrap();
    let mut sent = MAGIC.to_vec();
    sent.extend_from_slice(&client);
    stream.write_all(&sent).await.unwrap();
    let mut challenge = vec![0; CHALLENGE_BYTES];
    stream.read_exact(&mut challenge).await.unwrap();
    let server = challenge[..NONCE_BYTES].try_into().unwrap();
    let proof = Nonces { client, server }.proof(token, CLIENT);
    sent.extend_from_slice(&proof);
    stream.write_all(&proof).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), WELCOME);
    (sent, challenge)
}

#[test]
fn the_proofs_are_those_that_any_other_hmac_computes() {
    let folder = Folder::new();
    let path = folder.0.join("token");
    fs::write(&path, (0..32).collect::<Vec<u8>>()).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&path, private).unwrap();
    let token = Token::load(&path).unwrap();
    let nonces = Nonces { client: [0xaa; NONCE_BYTES], server: [0x55; NONCE_BYTES] };
    let hex = |side| nonces.proof(&token, side).map(|byte| format!("{byte:02x}")).concat();
    // From the module `hmac` of Python.
    assert_eq!(hex(SERVER), "ee8d5d573e149632b4e60c5b8537a731f7107e3c2d07ecd8c867ce15b70cdae6");
    assert_eq!(hex(CLIENT), "200687bb2d365a61a5c25324f2db5de995c3365739895f7ee9c2ce073613185f");
}

#[test]
fn a_proof_with_one_bit_wrong_or_of_the_other_side_is_none() {
    let folder = Folder::new();
    let token = folder.token("token");
    let nonces = Nonces { client: random().unwrap(), server: random().unwrap() };
    let mut proof = nonces.proof(&token, SERVER);
    assert!(nonces.is_proven(&token, SERVER, &proof));
    assert!(!nonces.is_proven(&token, CLIENT, &proof));
    assert!(!nonces.is_proven(&folder.token("other"), SERVER, &proof));
    let swapped = Nonces { client: nonces.server, server: nonces.client };
    assert!(!swapped.is_proven(&token, SERVER, &proof));
    for bit in 0..8 * PROOF_BYTES {
        proof[bit / 8] ^= 1 << (bit % 8);
        assert!(!nonces.is_proven(&token, SERVER, &proof), "bit {bit}");
        proof[bit / 8] ^= 1 << (bit % 8);
    }
}

#[tokio::test]
async fn who_takes_the_port_gets_neither_the_token_nor_a_request() {
    let folder = Folder::new();
    let token = folder.token("token");
    let tasks = Tasks::new();
    let real = serve(&folder, free(), &tasks).await;
    let (_, old_challenge) = overhear(real, &token).await;
    let mut welcoming = random::<CHALLENGE_BYTES>().unwrap().to_vec();
    welcoming.push(WELCOME);
    let named = [
        ("noise and a welcome", Says::Bytes(welcoming)),
        ("the real store's answer to somebody else", Says::Bytes(old_challenge)),
        ("an opening with another token", Says::Opening(folder.token("other"))),
        ("a web server", Says::BytesAndEnd(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())),
        ("one byte too few", Says::BytesAndEnd(vec![b'+'; CHALLENGE_BYTES - 1])),
    ];
    for (who, says) in named {
        let (address, heard) = fake(says, &tasks).await;
        let store = Store::connect(address, token.clone());
        let error = store.put("secret key", "secret value").await.unwrap_err();
        assert!(matches!(error, StoreError::NotOurStore { .. }), "{who}: {error}");
        let said = error.to_string();
        assert!(said.starts_with(&format!("something else listens at {address}: ")), "{who}: {said}");
        assert_eq!(error.class(), Class::Transient, "{who}");
        drop(store);
        let heard = heard.lock().unwrap();
        assert!(heard.len() > 1, "{who}: the client does not try again");
        for (number, bytes) in heard.iter().enumerate() {
            assert!(bytes.len() <= HELLO_BYTES, "{who}: {} bytes in connection {number}", bytes.len());
            assert_no_secret(&token, bytes);
        }
        let mut hellos: Vec<&Vec<u8>> = heard.iter().filter(|bytes| bytes.len() == HELLO_BYTES).collect();
        let count = hellos.len();
        hellos.sort();
        hellos.dedup();
        assert_eq!(hellos.len(), count, "{who}: a nonce came twice");
    }
}

#[tokio::test]
async fn who_takes_the_port_and_is_silent_or_closes_is_named_as_unreachable() {
    let folder = Folder::new();
    let token = folder.token("token");
    let tasks = Tasks::new();
    let short = vec![b'+'; CHALLENGE_BYTES - 1];
    let silent = "nothing within";
    let named = [
        (silent, Says::Bytes(Vec::new())),
        (silent, Says::Bytes(short)),
        ("it closed", Says::BytesAndEnd(Vec::new())),
    ];
    for (why, says) in named {
        let (address, heard) = fake(says, &tasks).await;
        // Longer than one try to connect takes, so that its end is known.
        let store = Store::connect_with(address, token.clone(), ClientOptions { timeout_ms: 1_000 });
        let error = store.put("k", "v").await.unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        assert!(error.to_string().contains(why), "{why}: {error}");
        for bytes in heard.lock().unwrap().iter() {
            assert!(bytes.len() <= HELLO_BYTES);
            assert_no_secret(&token, bytes);
        }
    }
}

#[tokio::test]
async fn a_client_finds_the_store_again_when_the_port_is_given_back() {
    let folder = Folder::new();
    let token = folder.token("token");
    let (thief, tasks) = (Tasks::new(), Tasks::new());
    let (address, _) = fake(Says::Opening(folder.token("other")), &thief).await;
    let store = Store::connect(address, token);
    assert!(matches!(store.get("k").await, Err(StoreError::NotOurStore { .. })));
    thief.shutdown(world::Limits { grace_ms: 0, abort_ms: 1_000 }).await;
    serve(&folder, address, &tasks).await;
    let mut tries = 0;
    while store.put("k", "v").await.is_err() {
        tries += 1;
        assert!(tries < 20, "it does not come back");
    }
}

#[tokio::test]
async fn what_an_eavesdropper_recorded_opens_nothing() {
    let folder = Folder::new();
    let token = folder.token("token");
    let tasks = Tasks::new();
    let address = serve(&folder, free(), &tasks).await;
    let (recorded, old_challenge) = overhear(address, &token).await;
    assert_no_secret(&token, &recorded);
    assert_no_secret(&token, &old_challenge);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (hello, proof) = recorded.split_at(HELLO_BYTES);
    stream.write_all(hello).await.unwrap();
    let mut challenge = [0; CHALLENGE_BYTES];
    stream.read_exact(&mut challenge).await.unwrap();
    assert_ne!(challenge[..NONCE_BYTES], old_challenge[..NONCE_BYTES]);
    stream.write_all(proof).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), REFUSED);
    assert_eq!(stream.read(&mut challenge).await.unwrap_or(0), 0);
    // Nor does the server's own proof, sent back to it.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(hello).await.unwrap();
    stream.read_exact(&mut challenge).await.unwrap();
    stream.write_all(&challenge[NONCE_BYTES..]).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), REFUSED);
    Store::connect(address, token).put("k", "v").await.unwrap();
}

#[tokio::test]
async fn a_stranger_that_stops_anywhere_in_its_opening_is_shown_out() {
    let folder = Folder::new();
    let tasks = Tasks::new();
    let address = serve(&folder, free(), &tasks).await;
    let mut hello = MAGIC.to_vec();
    hello.extend_from_slice(&[7; NONCE_BYTES + PROOF_BYTES]);
    let mut streams = Vec::new();
    for length in [0, MAGIC.len() - 1, MAGIC.len(), HELLO_BYTES - 1, HELLO_BYTES, hello.len() - 1] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&hello[..length]).await.unwrap();
        streams.push((length, stream));
    }
    for (length, mut stream) in streams {
        let mut said = Vec::new();
        let closed = timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await;
        assert!(closed.is_ok(), "{length} bytes: still open");
        let answered = if length < HELLO_BYTES { 0 } else { CHALLENGE_BYTES };
        assert_eq!(said.len(), answered, "{length} bytes");
    }
    // More than an opening, and wrong: refused, not waited for.
    let mut stream = TcpStream::connect(address).await.unwrap();
    hello.extend_from_slice(&[7; 100]);
    stream.write_all(&hello).await.unwrap();
    let mut said = vec![0; CHALLENGE_BYTES + 1];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(said.last(), Some(&REFUSED));
    Store::connect(address, folder.token("token")).put("k", "v").await.unwrap();
}
