//! Client certificates, through nginx that demands them.

mod support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use support::gateway::Gateway;
use support::proxy::own_place;
use support::{Server, folder, path, run, skipped};
use tempfile::TempDir;

#[test]
fn nginx_lets_in_who_shows_a_certificate_that_it_trusts() {
    let files = certificates();
    let (place, at) = (own_place(8443), files.path().display());
    let emulator = Server::emulate(["rehearsal-singapore"]);
    let bot = emulator.port();
    let Some(_gateway) = Gateway::nginx(
        bot,
        &format!(
            "server {{
                listen {place} ssl;
                ssl_certificate {at}/server.pem;
                ssl_certificate_key {at}/server.key;
                ssl_client_certificate {at}/ca.pem;
                ssl_verify_client on;
                location / {{
                    proxy_pass http://127.0.0.1:{bot};
                    proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection upgrade;
                    proxy_set_header X-Subject $ssl_client_s_dn;
                }}
            }}"
        ),
        "",
        false,
    ) else {
        skipped("nginx is not installed; run: cargo xtask test");
        return;
    };
    let path_of_bot = emulator.address(0).split_once("//").expect("an address").1;
    let path_of_bot = path_of_bot.split_once('/').expect("a path").1;
    let url = format!("wss://{place}/{path_of_bot}");
    let plan = |tls: &str| {
        let plan = format!(
            "version: 1
platform: rehearsal-singapore
target: {{url: '{url}', tls: {{{tls}}}}}
load: {{users: 4}}
conversation: [{{say: hello}}]
"
        );
        std::fs::write(files.path().join("plan.yaml"), plan).expect("a plan");
        path(&files, "plan.yaml")
    };
    let both =
        "ca: ca.pem, certificates: [{cert: ann.pem, key: ann.key}, {cert: bob.pem, key: bob.key}]";
    run(["run", &plan(both), "--quiet"])
        .ends_with(0)
        .says("4 completed");

    let again = plan(&format!("{both}, resumption: true"));
    run(["run", &again, "--quiet", "--set", "load.loops=3"])
        .ends_with(0)
        .says("12 completed")
        .says("4 full · 8 resumed");

    let by_flag = plan("ca: ca.pem");
    let (cert, key) = (path(&files, "ann.pem"), path(&files, "ann.key"));
    run(["run", &by_flag, "--quiet", "--cert", &cert, "--key", &key]).ends_with(0);
    // nginx says both with a page, not with an alert.
    run(["try", &by_flag])
        .says("400")
        .says("400 No required SSL certificate");
    let (cert, key) = (path(&files, "eve.pem"), path(&files, "eve.key"));
    run(["try", &by_flag, "--cert", &cert, "--key", &key])
        .says("400")
        .says("400 The SSL certificate");
    run(["run", &by_flag, "--quiet", "--cert", &key])
        .ends_with(2)
        .complains("eve.key: the certificate file holds no `-----BEGIN CERTIFICATE-----` block");
    run(["run", &plan("certificates: [{cert: nobody.pem}]")])
        .ends_with(2)
        .complains("nobody.pem cannot be read");
}

/// An authority's `server`, `ann` and `bob`, and `eve` of another one.
fn certificates() -> TempDir {
    let files = folder(&[]);
    // nginx runs as nobody.
    std::fs::set_permissions(files.path(), Permissions::from_mode(0o755)).expect("a folder");
    let write = |name: String, text: String| {
        std::fs::write(files.path().join(name), text).expect("a file in it");
    };
    for (authority, names) in [("ca", vec!["server", "ann", "bob"]), ("other", vec!["eve"])] {
        let named = |name: &str, places: Vec<String>| {
            let mut params = CertificateParams::new(places).expect("parameters");
            // An issuer called like its certificate would be taken for a certificate that signs itself.
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let mut params = named(authority, vec![]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        write(format!("{authority}.pem"), issuer.pem());
        for name in names {
            let [_, a, b, c] = std::process::id().to_be_bytes();
            let place = format!("127.{}.{b}.{c}", 64 + a);
            let key = KeyPair::generate().expect("a key");
            let params = named(name, vec![place]);
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            write(format!("{name}.pem"), certificate.pem());
            write(format!("{name}.key"), key.serialize_pem());
        }
    }
    files
}
