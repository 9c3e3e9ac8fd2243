//! What people type for a log, for a place to listen, and for entries.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use narthex_ledger::tokio::{AddressError, HttpAddress};

/// Where a log is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogAddress {
    /// `http://HOST:PORT[/PREFIX]` or `unix:PATH`.
    Http(HttpAddress),
    /// A folder in the same layout as the HTTP paths.
    Folder(PathBuf),
}

impl FromStr for LogAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.strip_prefix("unix:") {
            Some(path) => format!("unix:{}", absolute(path)?.display()),
            None => text.to_owned(),
        };
        match address.parse() {
            Ok(address) => Ok(Self::Http(address)),
            Err(AddressError::Scheme) if !text.is_empty() && !text.contains("://") => {
                Ok(Self::Folder(PathBuf::from(text)))
            }
            Err(AddressError::Scheme) => {
                Err("expected http://HOST:PORT[/PREFIX], unix:PATH, or a folder".to_owned())
            }
            Err(other) => Err(other.to_string()),
        }
    }
}

impl fmt::Display for LogAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(address) => write!(formatter, "{address}"),
            Self::Folder(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// Where a server of ours listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress(pub(crate) narthex_ledger::tokio::ListenAddress);

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = match text.strip_prefix("unix:") {
            Some(path) => format!("unix:{}", absolute(path)?.display()),
            None => text.to_owned(),
        };
        address
            .parse()
            .map(Self)
            .map_err(|error: AddressError| error.to_string())
    }
}

/// A socket's path as typed, below the current directory.
fn absolute(path: &str) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|_| "expected a path after unix:".to_owned())
}

/// Entries by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    first: u64,
    /// Included; `None` for the newest.
    last: Option<u64>,
}

impl Range {
    /// The numbers in a log of `size` entries, or `None` where it names one that is not there.
    pub(crate) fn within(&self, size: u64) -> Option<std::ops::Range<u64>> {
        let end = match self.last {
            Some(last) => last.checked_add(1)?,
            None => size,
        };
        (self.first < end && end <= size).then_some(self.first..end)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected an entry's number N, FROM-TO or FROM-";
        let number = |text: &str| text.parse::<u64>().map_err(|_| FORM.to_owned());
        match text.split_once('-') {
            None => number(text).map(|index| Self {
                first: index,
                last: Some(index),
            }),
            Some((first, "")) => Ok(Self {
                first: number(first)?,
                last: None,
            }),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                match first <= last {
                    true => Ok(Self {
                        first,
                        last: Some(last),
                    }),
                    false => Err(format!("{first} is after {last}")),
                }
            }
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) if last == self.first => write!(formatter, "{last}"),
            Some(last) => write!(formatter, "{}-{last}", self.first),
            None => write!(formatter, "{}-", self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_as_typed() {
        let parse = |text: &str| text.parse::<LogAddress>();
        let shown = |text: &str| parse(text).map(|address| address.to_string());
        assert_eq!(
            shown("http://keys.example:7080/log/"),
            Ok("http://keys.example:7080/log".to_owned())
        );
        assert_eq!(shown("unix:/x"), Ok("unix:/x".to_owned()));
        assert!(shown("unix:x").unwrap().ends_with("/x"));
        assert_eq!(parse("mirror/"), Ok(LogAddress::Folder("mirror/".into())));
        assert!(
            parse("https://keys.example")
                .unwrap_err()
                .contains("TLS proxy")
        );
        for wrong in ["", "unix:", "http://", "http:///x", "ftp://x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_to_listen_as_typed() {
        let parse = |text: &str| {
            text.parse::<ListenAddress>()
                .map(|address| address.0.to_string())
        };
        assert_eq!(parse("tcp:127.0.0.1:0"), Ok("tcp:127.0.0.1:0".to_owned()));
        assert_eq!(parse("tcp:[::1]:80"), Ok("tcp:[::1]:80".to_owned()));
        assert!(parse("unix:a").unwrap().ends_with("/a"));
        for wrong in [
            "",
            "unix:",
            "tcp:localhost:80",
            "127.0.0.1:80",
            "tcp:127.0.0.1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_name_what_is_there() {
        let within = |text: &str, size| text.parse::<Range>().unwrap().within(size);
        assert_eq!(within("3", 4), Some(3..4));
        assert_eq!(within("3", 3), None);
        assert_eq!(within("1-2", 3), Some(1..3));
        assert_eq!(within("1-", 3), Some(1..3));
        assert_eq!(within("3-", 3), None);
        assert_eq!(within("18446744073709551615", u64::MAX), None);
        for wrong in ["", "-", "-1", "a", "2-1", "1-2-3", "99999999999999999999"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
