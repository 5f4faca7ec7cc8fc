//! A simple reading of the PROXY protocol.

/// What a connection from a proxy begins with.
#[derive(Debug)]
pub(crate) enum ProxyHeader {
    /// A header that is valid to every reader.
    Valid { length: usize },
    /// Something else.
    Refused,
    /// What it is takes more than a simple reading.
    Unclear,
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

impl ProxyHeader {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        if bytes.starts_with(b"PROXY UNKNOWN\r\n") {
            let length = b"PROXY UNKNOWN\r\n".len();
            return Self::Valid { length };
        }
        if bytes.starts_with(b"PROXY ") {
            return Self::text(bytes);
        }
        if bytes.starts_with(SIGNATURE) {
            return Self::binary(bytes);
        }
        Self::Refused
    }

    /// Version 1: a line of at most 107 bytes.
    fn text(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            // Incomplete, or too long.
            return Self::Refused;
        };
        let length = end + 2;
        if length > 107 {
            return Self::Refused;
        }
        let line = String::from_utf8_lossy(&bytes[..end]);
        let is_port = |port: &str| {
            port.parse::<u16>()
                .is_ok_and(|number| number.to_string() == port)
        };
        let is_ip = |ip: &str| {
            ip.parse::<std::net::Ipv4Addr>()
                .is_ok_and(|address| address.to_string() == ip)
        };
        match *line.split(' ').collect::<Vec<_>>() {
            ["PROXY", "TCP4", one, other, port, other_port]
                if is_ip(one) && is_ip(other) && is_port(port) && is_port(other_port) =>
            {
                Self::Valid { length }
            }
            ["PROXY", protocol, ..]
                if !["TCP4", "TCP6", "UNKNOWN"]
                    .iter()
                    .any(|known| protocol.starts_with(known)) =>
            {
                Self::Refused
            }
            _ => Self::Unclear,
        }
    }

    /// Version 2: at most 4 KiB, of which the last bytes before the addresses state the length.
    fn binary(bytes: &[u8]) -> Self {
        let [command, family, high, low] = match bytes.get(12..16) {
            Some(fixed) => <[u8; 4]>::try_from(fixed).expect("four bytes"),
            None => return Self::Refused,
        };
        let addresses = usize::from(u16::from_be_bytes([high, low]));
        let length = 16 + addresses;
        if length > 4 << 10 || length > bytes.len() {
            return Self::Refused;
        }
        match (command, family, addresses) {
            // Version 2 and PROXY; TCP over IPv4 or IPv6, with nothing after the addresses.
            (0x21, 0x11, 12) | (0x21, 0x21, 36) => Self::Valid { length },
            // Another version.
            (command, _, _) if command >> 4 != 2 => Self::Refused,
            _ => Self::Unclear,
        }
    }
}
