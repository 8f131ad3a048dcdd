//! Remote displays.

use qmp_client::qmp::types::{NetworkAddressFamily, SpiceInfo, VncInfo, VncInfo2};

use super::super::model::Display;

pub(super) fn vnc_servers(servers: Vec<VncInfo2>) -> Vec<Display> {
    let display = |info: VncInfo2| {
        let clients = info.clients.len();
        let one = |address, websocket, auth: String| Display {
            protocol: String::from("vnc"),
            id: Some(info.id.clone()),
            address,
            websocket,
            auth: Some(auth),
            clients,
        };
        if info.server.is_empty() {
            // A server that connects to its clients.
            return vec![one(None, false, info.auth.to_string())];
        }
        let listens = info.server.iter().map(|server| {
            let address = address(&server.family, &server.host, &server.service);
            one(Some(address), server.websocket, server.auth.to_string())
        });
        listens.collect()
    };
    servers.into_iter().flat_map(display).collect()
}

/// Returns the display of a release without `query-vnc-servers`.
pub(super) fn vnc(info: VncInfo) -> Option<Display> {
    let (host, service) = (info.host?, info.service?);
    let family = info.family.unwrap_or(NetworkAddressFamily::Ipv4);
    info.enabled.then(|| Display {
        protocol: String::from("vnc"),
        id: None,
        address: Some(address(&family, &host, &service)),
        websocket: false,
        auth: info.auth,
        clients: info.clients.unwrap_or_default().len(),
    })
}

/// Returns the display of SPICE. On a Unix socket, it tells no port, and the path instead of a host.
pub(super) fn spice(info: SpiceInfo) -> Option<Display> {
    let channels = info.channels.unwrap_or_default();
    let mut connections: Vec<i64> = channels.iter().map(|c| c.connection_id).collect();
    connections.sort_unstable();
    connections.dedup();
    let port = info.tls_port.or(info.port).filter(|port| *port > 0);
    let address = match (info.host, port) {
        (host, Some(port)) => host_and_port(&host.unwrap_or_default(), &port.to_string()),
        (Some(path), None) if path.starts_with('/') => format!("unix:{path}"),
        (host, None) => host?,
    };
    info.enabled.then(|| Display {
        protocol: String::from("spice"),
        id: None,
        address: Some(address),
        websocket: false,
        auth: info.auth,
        clients: connections.len(),
    })
}

fn address(family: &NetworkAddressFamily, host: &str, service: &str) -> String {
    match family {
        NetworkAddressFamily::Unix => format!("unix:{service}"),
        NetworkAddressFamily::Vsock => format!("vsock:{host}:{service}"),
        _ => host_and_port(host, service),
    }
}

fn host_and_port(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
