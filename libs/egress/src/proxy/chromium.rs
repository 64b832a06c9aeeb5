//! The flags that leave a Chromium no way to the network but the filter proxy.

use std::net::SocketAddr;

/// The flags for a browser behind the proxy at `addr`, as `name=value` or `name`, without the leading dashes.
///
/// The bypass list is set because Chromium reaches localhost and link-local addresses directly without it; the full
/// browser obeys one of the two WebRTC flags and the headless shell the other; the last rule makes every name
/// lookup of the browser itself fail.
#[must_use]
pub fn chromium_flags(addr: SocketAddr) -> Vec<String> {
    let fixed = [
        "proxy-bypass-list=<-loopback>",
        "webrtc-ip-handling-policy=disable_non_proxied_udp",
        "force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "disable-quic",
        "dns-prefetch-disable",
        "disable-background-networking",
        "no-pings",
        "host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    ];
    let proxy = format!("proxy-server=http://{addr}");
    std::iter::once(proxy).chain(fixed.into_iter().map(str::to_owned)).collect()
}
