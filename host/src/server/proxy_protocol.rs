//! [`read_proxy_header`]: the PROXY protocol, versions 1 and 2, by which a TCP proxy states the address of a caller
//! before the caller's own bytes.
//!
//! Only for peers that the configuration lists: any other could state any address. They have to send it on every
//! connection, as the protocol demands: whether the first bytes are such a header must not be guessed.
//!
//! Exactly the bytes of the header are read, so that the rest, which may be a TLS handshake, is the stream's.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How a header of version 2 starts.
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// How a header of version 1 starts.
const SIGNATURE_1: &[u8] = b"PROXY ";

/// The shortest header: that of version 1 for an unknown caller.
const MIN_BYTES: usize = b"PROXY UNKNOWN\r\n".len();

/// The longest header of version 1, by the protocol: 107 bytes.
const MAX_BYTES_1: usize = 107;

/// The bytes of version 2 before the addresses, with their length at the end.
const FIXED_BYTES_2: usize = 16;

/// The longest header of version 2 that is accepted: 4 KiB. Proxies that add what they know of a TLS session send some
/// hundred bytes.
const MAX_BYTES_2: usize = 4 << 10;

/// Why a connection has no valid header.
#[derive(Debug)]
pub(super) enum ProxyHeaderError {
    /// It ended or failed before the end of the header.
    Ended(io::Error),
    /// It starts with something else.
    Missing,
    TooLong,
    Malformed,
}

impl fmt::Display for ProxyHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended(error) => return write!(f, "got the end of the connection within it: {error}"),
            Self::Missing => {
                "got other bytes; let the proxy send one (in HAProxy: send-proxy or send-proxy-v2, and \
                 check-send-proxy), or remove its network from proxy_protocol_from"
            }
            Self::TooLong => "got a longer one than 107 bytes in version 1, or 4 KiB in version 2",
            Self::Malformed => "got a malformed one",
        })
    }
}

impl From<io::Error> for ProxyHeaderError {
    fn from(error: io::Error) -> Self {
        Self::Ended(error)
    }
}

/// Reads the header at the start of a connection, and returns the caller's address in it; `None` if the proxy does not
/// know it, or connects for itself.
///
/// # Cancel safety
///
/// If the future is dropped, the bytes that it has read are lost.
pub(super) async fn read_proxy_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let mut header = vec![0; MIN_BYTES];
    stream.read_exact(&mut header).await?;
    if header.starts_with(SIGNATURE_2) {
        header.push(stream.read_u8().await?);
        let length = u16::from_be_bytes([header[FIXED_BYTES_2 - 2], header[FIXED_BYTES_2 - 1]]);
        let length = FIXED_BYTES_2 + usize::from(length);
        if length > MAX_BYTES_2 {
            return Err(ProxyHeaderError::TooLong);
        }
        header.resize(length, 0);
        stream.read_exact(&mut header[FIXED_BYTES_2..]).await?;
    } else if header.starts_with(SIGNATURE_1) {
        while !header.ends_with(b"\r\n") {
            if header.len() == MAX_BYTES_1 {
                return Err(ProxyHeaderError::TooLong);
            }
            header.push(stream.read_u8().await?);
        }
    } else {
        return Err(ProxyHeaderError::Missing);
    }
    parse(&header)
}

fn parse(bytes: &[u8]) -> Result<Option<SocketAddr>, ProxyHeaderError> {
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, length)) if length == bytes.len() => {
            let address = header.proxied_address();
            let address = address.filter(|address| matches!(address.protocol, Protocol::Stream));
            Ok(address.map(|address| address.source))
        }
        _ => Err(ProxyHeaderError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    /// The result for a connection that sends `bytes` and ends, and the bytes that are left.
    async fn read(mut bytes: &[u8]) -> (Result<Option<SocketAddr>, ProxyHeaderError>, &[u8]) {
        let read = read_proxy_header(&mut bytes).await;
        (read, bytes)
    }

    /// A header of version 2, for TCP over IPv4.
    fn version_2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [SIGNATURE_2, &[command, family], &length, addresses].concat()
    }

    const ADDRESSES: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xdd, 0xd5, 0, 80];

    #[tokio::test]
    async fn a_header_of_either_version_states_the_callers_address_and_nothing_after_it_is_read() {
        let with_more = [&ADDRESSES[..], &[0x03, 0, 1, b'x']].concat();
        let unix = [0; 216];
        let ipv6 = [[0xfe; 16], [1; 16]].concat();
        let ipv6 = [&ipv6[..], &[0, 7, 0, 80]].concat();
        for (header, expected) in [
            (
                b"PROXY TCP4 192.0.2.1 192.0.2.2 56789 80\r\n".to_vec(),
                Some("192.0.2.1:56789"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(),
                Some("[2001:db8::1]:1"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (version_2(0x21, 0x11, &ADDRESSES), Some("192.0.2.1:56789")),
            (version_2(0x21, 0x11, &with_more), Some("192.0.2.1:56789")),
            (
                version_2(0x21, 0x21, &ipv6),
                Some("[fefe:fefe:fefe:fefe:fefe:fefe:fefe:fefe]:7"),
            ),
            // The proxy connects for itself.
            (version_2(0x20, 0x11, &ADDRESSES), None),
            (version_2(0x20, 0x00, &[]), None),
            // UDP, and a Unix socket.
            (version_2(0x21, 0x12, &ADDRESSES), None),
            (version_2(0x21, 0x31, &unix), None),
        ] {
            let sent = [&header[..], b"GET / HTTP/1.1"].concat();
            let (address, rest) = read(&sent).await;
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(address.unwrap(), expected, "{}", header.escape_ascii());
            assert_eq!(rest, b"GET / HTTP/1.1");
        }
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        use ProxyHeaderError as E;
        let is_malformed = |error: &E| matches!(error, E::Malformed);
        for text in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY \r\n     \r\n\r\n",
        ] {
            let error = read(text.as_bytes()).await.0.unwrap_err();
            assert!(is_malformed(&error), "{text:?}: {error}");
        }
        for (command, family, addresses) in [
            (0x11, 0x11, &ADDRESSES[..]),
            (0x22, 0x11, &ADDRESSES),
            (0x21, 0x41, &ADDRESSES),
            (0x21, 0x11, &ADDRESSES[..11]),
            (0x21, 0x21, &ADDRESSES),
            (0x21, 0x31, &ADDRESSES),
        ] {
            let header = version_2(command, family, addresses);
            let error = read(&header).await.0.unwrap_err();
            assert!(is_malformed(&error), "{}: {error}", header.escape_ascii());
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(100));
        assert!(matches!(read(long.as_bytes()).await.0, Err(E::TooLong)));
        let long = version_2(0x21, 0x11, &[0; MAX_BYTES_2]);
        assert!(matches!(read(&long).await.0, Err(E::TooLong)));
        for text in [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "\x16\x03\x01 a TLS handshake",
        ] {
            assert!(
                matches!(read(text.as_bytes()).await.0, Err(E::Missing)),
                "{text:?}"
            );
        }
        let whole = version_2(0x21, 0x11, &ADDRESSES);
        for length in 0..whole.len() {
            let ended = read(&whole[..length]).await.0;
            assert!(matches!(ended, Err(E::Ended(_))), "{length}");
        }
    }

    // Bytes of a fixed sequence: valid headers of which some bytes are replaced.
    #[tokio::test]
    async fn no_bytes_make_it_panic_or_read_past_its_limits() {
        let mut state = 0_u64;
        let mut next = |below: usize| {
            let mut hasher = DefaultHasher::new();
            state += 1;
            state.hash(&mut hasher);
            usize::try_from(hasher.finish() % below as u64).unwrap()
        };
        let mut valid = 0;
        for _ in 0..20_000 {
            let mut bytes = match next(3) {
                0 => b"PROXY TCP4 192.0.2.1 192.0.2.2 56789 80\r\n".to_vec(),
                1 => b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n".to_vec(),
                _ => version_2(0x21, 0x11, &ADDRESSES),
            };
            for _ in 0..next(4) {
                let place = next(bytes.len());
                bytes[place] = u8::try_from(next(256)).unwrap();
            }
            bytes.resize(next(6_000), b' ');
            let (read, rest) = read(&bytes).await;
            assert!(bytes.len() - rest.len() <= MAX_BYTES_2);
            valid += usize::from(read.is_ok());
        }
        assert!(valid > 1_000, "{valid}");
    }
}
