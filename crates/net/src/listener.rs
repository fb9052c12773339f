//! Listening sockets of one front: one per thread, sharing an address among themselves and with nobody else.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// Connections the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;
/// A peer that vanished is noticed after this long without traffic.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// First pause of the accept loop when the process has no file descriptor left.
const BACKOFF_FIRST_MS: u64 = 20;
/// Longest such pause.
const BACKOFF_MAX_MS: u64 = 1_000;

/// Opens `count` sockets on `address`, non-blocking, with `TCP_NODELAY` (accepted sockets inherit it).
///
/// The kernel spreads connections over sockets with `SO_REUSEPORT`, also over those of another process of the
/// same user. A socket without it is bound first: that fails while anybody else listens there.
///
/// # Errors
/// What the operating system says about the first socket that could not be opened; none is then left open.
pub fn open(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    drop(bind(address, false)?);
    (0..count.max(1))
        .map(|_| {
            let socket = bind(address, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What an accept loop does after an error.
#[derive(Debug, Default)]
pub struct AcceptErrors {
    in_a_row: u32,
}

impl AcceptErrors {
    /// A connection was accepted.
    pub fn accepted(&mut self) {
        self.in_a_row = 0;
    }

    /// How long to wait after `error`. One connection that failed costs nothing; a process out of file
    /// descriptors waits, because the error would come back at once for as long as it lasts.
    pub fn pause(&mut self, error: &io::Error) -> Duration {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
        if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock) {
            return Duration::ZERO;
        }
        let pause = BACKOFF_FIRST_MS.saturating_mul(1 << self.in_a_row.min(16)).min(BACKOFF_MAX_MS);
        self.in_a_row = self.in_a_row.saturating_add(1);
        Duration::from_millis(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_front_on_the_same_address_is_refused() {
        let first = open("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = first[0].local_addr().unwrap();
        assert_eq!(open(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert_eq!(open(address, 2).unwrap().len(), 2);
    }

    #[test]
    fn a_process_without_file_descriptors_waits_longer_each_time() {
        let mut errors = AcceptErrors::default();
        let emfile = io::Error::from_raw_os_error(24);
        let pauses: Vec<u128> = (0..8).map(|_| errors.pause(&emfile).as_millis()).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(errors.pause(&io::ErrorKind::ConnectionAborted.into()), Duration::ZERO);
        errors.accepted();
        assert_eq!(errors.pause(&emfile).as_millis(), 20);
    }
}
