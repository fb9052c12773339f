//! `DATABASE_URL`: where it leads, read once at the start.

use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use anyhow::bail;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// What the address must look like. The text of a wrong one is never repeated: whatever is wrong with it, there may be
/// a password in it.
const FORM: &str = "`DATABASE_URL` is not of the form `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE`; in USER \
                    and PASSWORD anything but letters and digits is written as `%XX`";
/// Where the address says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const PORT: u16 = 5432;

/// Every host of the address, in its order.
pub(crate) struct Address {
    pub(crate) hosts: Vec<OneHost>,
    /// How long one host may take until it is ready for the first statement.
    pub(crate) connect_timeout: Duration,
}

/// One host, with all that is needed to connect to it alone.
pub(crate) struct OneHost {
    pub(crate) config: Config,
    /// `HOST:PORT`, for people.
    pub(crate) name: String,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.hosts.iter().map(|host| &host.name)).finish()
    }
}

impl Address {
    /// Reads it. An error says what is expected and nothing of what came.
    pub(crate) fn parse(text: &OsStr) -> anyhow::Result<Address> {
        let text = text.to_str().unwrap_or_default();
        // Without its beginning the text would be read in another form, `host=.. user=..`.
        if !["postgres://", "postgresql://"].iter().any(|begin| text.starts_with(begin)) {
            bail!(FORM);
        }
        // The cause is dropped on purpose: it names options it does not know, and those may be half a password.
        let Ok(all) = text.parse::<Config>() else { bail!(FORM) };
        let (Some(user), Some(database)) = (all.get_user(), all.get_dbname()) else { bail!(FORM) };
        let ports = all.get_ports();
        let mut hosts = Vec::new();
        for (index, host) in all.get_hosts().iter().enumerate() {
            let Host::Tcp(host) = host else { bail!(FORM) };
            // An `@` that was not written as `%40` leaves the end of the password here, and names are printed.
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
            if host.is_empty() || !host.chars().all(plain) {
                bail!(FORM);
            }
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(PORT);
            let mut config = Config::new();
            config.user(user).dbname(database).host(host).port(port).application_name("shop");
            config.ssl_mode(all.get_ssl_mode()).target_session_attrs(all.get_target_session_attrs());
            if let Some(password) = all.get_password() {
                config.password(password);
            }
            let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
            hosts.push(OneHost { config, name });
        }
        if hosts.is_empty() {
            bail!(FORM);
        }
        let connect_timeout = all.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        Ok(Address { hosts, connect_timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Address> {
        Address::parse(OsStr::new(text))
    }

    #[test]
    fn every_host_is_kept_in_its_order_and_the_password_is_decoded() {
        let address = parse(
            "postgres://sh%3Aop:p%40ss%2F%25@127.0.2.1:5432,[::1]:6000/db?target_session_attrs=any&connect_timeout=3",
        );
        let address = address.unwrap();
        assert_eq!(format!("{address:?}"), r#"["127.0.2.1:5432", "[::1]:6000"]"#);
        assert_eq!(address.connect_timeout, Duration::from_secs(3));
        for host in &address.hosts {
            assert_eq!(host.config.get_user(), Some("sh:op"));
            assert_eq!(host.config.get_password(), Some(&b"p@ss/%"[..]));
            assert_eq!(host.config.get_dbname(), Some("db"));
        }
    }

    #[test]
    fn a_wrong_address_is_refused_without_a_word_of_it() {
        for wrong in [
            "",
            "hunter2",
            "mysql://shop:hunter2@127.0.0.1:1/db",
            "host=127.0.0.1 user=shop password=hunter2 dbname=db",
            "postgres://shop:hunter2",
            "postgres://shop:hunter2@127.0.0.1:1",
            "postgres://shop:x@hunter2@127.0.0.1:1/db",
            "postgres://shop:x?hunter2=@127.0.0.1:port/db",
            "postgres://shop:x@127.0.0.1:1/db?hunter2=1",
            "postgres://shop:hunter2@/db",
            "postgres://shop:hunter2@%2Ftmp/db",
        ] {
            let text = format!("{:#}", parse(wrong).unwrap_err());
            assert!(
                text.starts_with("`DATABASE_URL` is not of the form") && !text.contains("hunter2"),
                "{wrong}"
            );
        }
    }
}
