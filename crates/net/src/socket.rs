//! What the operating system knows of a socket that died, for the search for the cause; and how the emulator makes one
//! deaf. Where a system offers neither, nothing is known and nothing is done.

use plimsoll_core::wire::Socket;
use tokio::net::TcpStream;

/// One system call. `errno` is the error that reading or writing ended with; 0 for none.
#[cfg(target_os = "linux")]
pub(crate) fn facts(tcp: &TcpStream, errno: i32) -> Option<Socket> {
    use std::os::fd::AsRawFd as _;

    // Neither rustix nor socket2 reads TCP_INFO.
    #[expect(
        unsafe_code,
        reason = "a plain structure of integers, for which zeros are a value"
    )]
    // SAFETY: `tcp_info` holds integers only.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    #[expect(unsafe_code, reason = "getsockopt fills a structure through a pointer")]
    // SAFETY: both pointers are to live locals, and `length` is the size of the first; the descriptor is borrowed.
    let done = unsafe {
        libc::getsockopt(
            tcp.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    (done == 0).then_some(Socket {
        unacked: info.tcpi_unacked,
        // Not `tcpi_backoff`: it also grows while a peer that does not read acknowledges every probe of its full buffer.
        resending: info
            .tcpi_retransmits
            .max(info.tcpi_probes.saturating_sub(1)),
        retransmits: info.tcpi_total_retrans,
        errno,
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn facts(_tcp: &TcpStream, errno: i32) -> Option<Socket> {
    (errno != 0).then(|| Socket {
        errno,
        ..Socket::default()
    })
}

/// Until the peer has ended its direction. Nothing is read.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) async fn hung_up(tcp: &TcpStream) {
    // Of reading, this interest wants to hear of the end alone.
    let _ = tcp.ready(tokio::io::Interest::PRIORITY).await;
}

/// Elsewhere nobody can tell without reading, so that the peer's segments do not pile up.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) async fn hung_up(tcp: &TcpStream) {
    let mut ignored = [0; 4096];
    while tcp.readable().await.is_ok() {
        match tcp.try_read(&mut ignored) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// The port is to be chosen by `connect`, which may use one that another connection to elsewhere has; `bind` would take
/// one for this socket alone. Where a system has no such thing, it is `bind` that chooses.
#[cfg(target_os = "linux")]
pub(crate) fn choose_port_late(socket: &tokio::net::TcpSocket) {
    set_ip_option(socket, libc::IP_BIND_ADDRESS_NO_PORT, 1);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn choose_port_late(_socket: &tokio::net::TcpSocket) {}

/// Any free port of the range will do, the machine's own. Where nobody says so, Linux tries all of the ports that have one
/// parity before it looks at the others: once half of them are taken, each `connect` goes through thousands (`cargo xtask
/// bench small`: 0.02 ms became 0.9 ms). A kernel before 6.3 refuses the option, one before 6.8 still tries one parity
/// first.
#[cfg(target_os = "linux")]
pub(crate) fn take_any_port(socket: &tokio::net::TcpSocket, range: (u16, u16)) {
    /// Of `linux/in.h`; libc does not name it.
    const IP_LOCAL_PORT_RANGE: libc::c_int = 51;
    let both = u32::from(range.1) << 16 | u32::from(range.0);
    set_ip_option(socket, IP_LOCAL_PORT_RANGE, both);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn take_any_port(_socket: &tokio::net::TcpSocket, _range: (u16, u16)) {}

/// An older kernel may not know the option; then it stays as it is.
#[cfg(target_os = "linux")]
fn set_ip_option(socket: &tokio::net::TcpSocket, name: libc::c_int, value: u32) {
    use std::os::fd::AsRawFd as _;

    // Neither rustix nor socket2 sets these options.
    #[expect(unsafe_code, reason = "setsockopt reads an integer through a pointer")]
    // SAFETY: the pointer is to a live local of the size that is given; the descriptor is borrowed.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            name,
            (&raw const value).cast(),
            size_of::<u32>() as libc::socklen_t,
        )
    };
}

/// From here on no segment gets in, so that the peer is not even acknowledged.
#[cfg(target_os = "linux")]
pub(crate) fn deafen(tcp: &TcpStream) {
    // Berkeley Packet Filter: return 0, keep nothing of any packet.
    const RETURN: u16 = 0x06;
    let drop_all = [socket2::SockFilter::new(RETURN, 0, 0, 0)];
    // It fails only on a socket that is already dead.
    let _ = socket2::SockRef::from(tcp).attach_filter(&drop_all);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn deafen(_tcp: &TcpStream) {}
