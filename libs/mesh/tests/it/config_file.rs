//! The text that services paste into their defaults is itself valid.

use mesh::config;

#[test]
fn the_documented_sections_have_the_types_that_services_use() {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sections {
        server: config::Server,
        tls: config::Tls,
        telemetry: config::Telemetry,
        peers: config::Peers,
    }
    let sections: Sections = toml::from_str(config::SECTIONS).unwrap();
    assert_eq!(sections.server.max_concurrent_calls, 2048);
    assert!(sections.tls.ca_file.as_os_str().is_empty());
    assert_eq!(sections.telemetry.log_format, config::LogFormat::Json);
    assert_eq!(sections.peers.address(domain::Service::Gateway), None);
}
