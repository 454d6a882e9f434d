//! `plimsoll emulate`: serves a profile's platform on a port, until it is told to end.

use std::path::Path;

use plimsoll_net::{Ready, ServeOptions, Served, ServerTls, serve};
use url::Url;

use crate::aim::endpoint_address;
use crate::args::Emulate;
use crate::child::ready_line;
use crate::console::Console;
use crate::exit::{Ending, Failure};
use crate::{input, interrupt};

pub(crate) fn emulate(args: &Emulate) -> Result<Ending, Failure> {
    let profile = input::profile(&args.profile)?;
    let options = ServeOptions {
        listen: args.listen,
        tls: tls(args)?,
        seed: args.seed,
    };
    let scheme = match options.tls {
        ServerTls::Plain => "ws",
        ServerTls::Generated | ServerTls::Files { .. } => "wss",
    };
    let endpoints = profile.endpoints.clone();
    let (ca_out, mut written) = (args.ca_out.clone(), Ok(()));
    let ready = |ready: Ready| {
        if let (Some(file), Some(pem)) = (&ca_out, &ready.certificate_pem) {
            written = write_certificate(file, pem);
        }
        if let Ok(base) = Url::parse(&format!("{scheme}://{}/", ready.address)) {
            let addresses: Vec<_> = endpoints
                .iter()
                .map(|endpoint| endpoint_address(&base, endpoint))
                .collect();
            Console::default().print(&ready_line(&addresses));
        }
    };
    let until_stdin_ends = args.until_stdin_ends;
    let stop = async move {
        tokio::select! {
            () = interrupt::asked_to_end() => {}
            () = stdin_ended(), if until_stdin_ends => {}
        }
    };
    let Served { accepted, open } = serve(profile, options, ready, stop)?;
    written?;
    Console::default().print(&format!(
        "{accepted} connections were let in; {open} are still open"
    ));
    Ok(Ending::Passed)
}

fn tls(args: &Emulate) -> Result<ServerTls, Failure> {
    match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => Ok(ServerTls::Files {
            cert: read(cert)?,
            key: read(key)?,
        }),
        _ if args.tls => Ok(ServerTls::Generated),
        _ => Ok(ServerTls::Plain),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file)
        .map_err(|error| Failure::input(format_args!("{} cannot be read: {error}", file.display())))
}

fn write_certificate(file: &Path, pem: &str) -> Result<(), Failure> {
    std::fs::write(file, pem).map_err(|error| {
        Failure::input(format_args!(
            "{} cannot be written: {error}",
            file.display()
        ))
    })
}

/// A thread of its own reads: a read of standard input cannot be cancelled.
async fn stdin_ended() {
    let (ended, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = wait.await;
}
