//! Who a request over HTTPS is from: the connection's other end, or the client
//! that a trusted proxy names in `Forwarded` (RFC 7239) or `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;
use redoubt_protocols::limits::Networks;

use super::TlsListener;

/// Proxies that are looked through at most.
const MAX_PROXIES: usize = 32;

/// The other end of a connection: the socket's address, or what a PROXY header said.
#[derive(Debug, Clone, Copy)]
pub struct Remote(SocketAddr);

impl Connected<IncomingStream<'_, TlsListener>> for Remote {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// The original client of a request, in its extensions. This is what limits, logs and the
/// actors of records go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(pub IpAddr);

/// Finds the client, says in the log what it asks, and hands it on as [`Client`].
pub async fn find_client(
    State(trusted): State<Arc<Networks>>,
    ConnectInfo(Remote(remote)): ConnectInfo<Remote>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(client) = client(remote.ip(), request.headers(), &trusted) else {
        tracing::info!(%remote, "Forwarded and X-Forwarded-For do not say the same");
        let text = "Forwarded and X-Forwarded-For name different clients, or none that reads\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    tracing::debug!(%client, method = %request.method(), path = request.uri().path(), "request");
    request.extensions_mut().insert(Client(client));
    next.run(request).await
}

/// The last address that no trusted proxy vouches for. Both headers may stand there, since a
/// proxy that sets one of them passes on what its client wrote into the other: then they
/// must agree. `None` if they do not, or where an address is wanted and does not read.
fn client(remote: IpAddr, headers: &HeaderMap, trusted: &Networks) -> Option<IpAddr> {
    let remote = remote.to_canonical();
    if !trusted.contain(remote) {
        return Some(remote);
    }
    let simple = words(headers, "x-forwarded-for");
    let standard = words(headers, "forwarded").map(|all| all.into_iter().map(for_of).collect());
    match (simple, standard) {
        (None, None) => Some(remote),
        (Some(list), None) | (None, Some(list)) => outermost(remote, &list, trusted),
        (Some(simple), Some(standard)) => {
            let [a, b] = [simple, standard].map(|list| outermost(remote, &list, trusted));
            a.filter(|a| Some(*a) == b)
        }
    }
}

/// The values of a header over all its lines, the nearest proxy's last.
fn words<'a>(headers: &'a HeaderMap, name: &str) -> Option<Vec<&'a str>> {
    if !headers.contains_key(name) {
        return None;
    }
    let text = |value: &'a axum::http::HeaderValue| value.to_str().unwrap_or_default();
    let lines = headers.get_all(name).iter().map(text);
    Some(lines.flat_map(|line| line.split(',')).map(str::trim).collect())
}

/// The value of `for=` in one element of `Forwarded`.
fn for_of(element: &str) -> &str {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.next().map_or("", |(_, value)| value.trim().trim_matches('"'))
}

fn outermost(remote: IpAddr, list: &[&str], trusted: &Networks) -> Option<IpAddr> {
    let mut client = remote;
    for word in list.iter().rev().take(MAX_PROXIES) {
        client = address(word)?;
        if !trusted.contain(client) {
            break;
        }
    }
    Some(client)
}

/// An address with or without a port, IPv6 with or without brackets.
fn address(word: &str) -> Option<IpAddr> {
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    let plain = bare.unwrap_or(word).parse::<IpAddr>().ok();
    let found = plain.or_else(|| word.parse::<SocketAddr>().ok().map(|address| address.ip()));
    found.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn found(remote: &str, headers: &[(&str, &str)]) -> Option<String> {
        let trusted = Networks::parse(&["127.0.0.0/8", "::1", "10.0.0.0/8"]).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        client(remote.parse().unwrap(), &map, &trusted).map(|ip| ip.to_string())
    }

    const FOR: &str = "x-forwarded-for";

    #[test]
    fn a_trusted_proxy_names_the_client() {
        for (header, expected) in [
            ((FOR, "192.0.2.1"), "192.0.2.1"),
            ((FOR, "198.51.100.9, 192.0.2.1, 10.1.1.1"), "192.0.2.1"),
            ((FOR, "10.2.2.2,10.1.1.1"), "10.2.2.2"),
            ((FOR, "[2001:db8::1]:4711"), "2001:db8::1"),
            ((FOR, "192.0.2.1:4711"), "192.0.2.1"),
            (("forwarded", "for=192.0.2.1;proto=https;by=10.0.0.1"), "192.0.2.1"),
            (
                ("forwarded", "for=198.51.100.9, By=x;FOR=\"[2001:db8::1]:9\", for=10.1.1.1"),
                "2001:db8::1",
            ),
        ] {
            assert_eq!(found("127.0.0.1", &[header]).as_deref(), Some(expected), "{header:?}");
        }
        assert_eq!(found("::ffff:127.0.0.1", &[]).as_deref(), Some("127.0.0.1"));
        let lines = [(FOR, "192.0.2.1"), (FOR, "10.1.1.1")];
        assert_eq!(found("10.0.0.1", &lines).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn others_name_nobody() {
        let claims = [(FOR, "127.0.0.1"), ("forwarded", "for=::1")];
        assert_eq!(found("192.0.2.9", &claims).as_deref(), Some("192.0.2.9"));
        for wrong in ["", "unknown", "_hidden", "127.0.0.1, what", "192.0.2.1 10.0.0.1"] {
            assert_eq!(found("127.0.0.1", &[(FOR, wrong)]), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_client_puts_into_the_other_header_is_not_believed() {
        let smuggled = [(FOR, "192.0.2.1"), ("forwarded", "for=127.0.0.1")];
        assert_eq!(found("10.0.0.1", &smuggled), None);
        let agreed = [(FOR, "192.0.2.1"), ("forwarded", "for=192.0.2.1")];
        assert_eq!(found("10.0.0.1", &agreed).as_deref(), Some("192.0.2.1"));
    }
}
