use proptest::prelude::*;

use super::*;

#[test]
fn an_offer_and_its_answer() {
    let offer = |context_takeover, window_bits| Offer {
        context_takeover,
        window_bits,
    };
    let check = |offer: Offer, header: &str, answer: &str| {
        assert_eq!(offer.header(), header);
        let terms = Terms::grant(header).expect("it can be granted");
        assert_eq!(terms.answer(), answer);
        let agreed = offer.agree(answer).expect("the answer keeps the rules");
        assert_eq!(agreed, Some(terms));
    };
    check(
        offer(true, 15),
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate",
    );
    check(
        offer(false, 15),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    );
    check(
        offer(true, 10),
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10",
    );
}

#[test]
fn an_answer_that_breaks_the_rules_is_named() {
    let check = |offer: Offer, answer: &str, expect: &str| {
        let error = offer.agree(answer).unwrap_err();
        assert!(error.contains(expect), "{answer}: {error}");
    };
    let (any, alone) = (
        Offer::default(),
        Offer {
            context_takeover: false,
            window_bits: 12,
        },
    );
    check(any, "permessage-bzip2", "was not asked for");
    check(any, "permessage-deflate, foo", "was not asked for");
    check(any, "permessage-deflate; x=1", "may not have");
    check(
        any,
        "permessage-deflate; server_max_window_bits",
        "may not have",
    );
    check(
        any,
        "permessage-deflate; server_max_window_bits=16",
        "may not have",
    );
    check(
        any,
        "permessage-deflate; server_max_window_bits=08",
        "may not have",
    );
    // Eight cannot be kept by the compressor.
    check(
        any,
        "permessage-deflate; client_max_window_bits=8",
        "cannot be kept",
    );
    let twice = "permessage-deflate; client_no_context_takeover; client_no_context_takeover";
    check(any, twice, "may not have");
    check(alone, "permessage-deflate", "less than was asked for");
    check(
        alone,
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=13",
        "may not have",
    );
    assert_eq!(any.agree(" "), Ok(None));
}

#[test]
fn a_server_takes_the_first_offer_that_it_can_keep() {
    let check = |offers: &str, expect: Option<&str>| {
        let answer = Terms::grant(offers).map(Terms::answer);
        assert_eq!(answer.as_deref(), expect, "{offers}");
    };
    check("x-webkit-deflate-frame", None);
    check("permessage-deflate; server_max_window_bits=8", None);
    check("permessage-deflate; unknown", None);
    check("permessage-deflate; client_max_window_bits=7", None);
    check(
        "foo, permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=\"9\"",
        Some("permessage-deflate; server_max_window_bits=9"),
    );
}

/// The messages of RFC 7692 section 7.2.3.
#[test]
fn the_rfcs_examples_are_read() {
    let mut codec = codec(true);
    let mut shared = Shared::default();
    let mut check = |payload: &[u8], expect: &[u8]| {
        let mut out = Vec::new();
        let read = codec.restore(&mut shared, payload, 100, &mut out);
        assert_eq!((read, out.as_slice()), (Ok(()), expect));
    };
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    check(&hello, b"Hello");
    // With the window of the one before.
    check(&[0xf2, 0x00, 0x11, 0x00, 0x00], b"Hello");
    // Not compressed, a stream that ends, and two blocks.
    let stored = [
        0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
    ];
    check(&stored, b"Hello");
    check(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00], b"Hello");
    let two = [
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    check(&two, b"Hello");
    check(&[0], b"");
}

#[test]
fn a_bomb_is_cut_off_at_the_limit() {
    for takeover in [true, false] {
        let mut bomb = Vec::new();
        let mut shared = Shared::default();
        codec(takeover).shrink(&mut shared, &vec![0; 64 << 20], &mut bomb);
        assert!(bomb.len() < 100 << 10, "{}", bomb.len());
        let mut out = Vec::new();
        let most = 1 << 20;
        let read = codec(takeover).restore(&mut shared, &bomb, most, &mut out);
        assert!(
            matches!(read, Err(Violation::MessageTooBig { .. })),
            "{read:?}"
        );
        assert!(out.capacity() <= most + SMALLEST, "{}", out.capacity());
        let exact = codec(takeover).restore(&mut shared, &bomb, 64 << 20, &mut Vec::new());
        assert_eq!(exact, Ok(()));
    }
}

#[test]
fn who_takes_nothing_over_holds_nothing() {
    let mut codec = codec(false);
    let mut shared = Shared::default();
    for _ in 0..2 {
        let mut out = Vec::new();
        codec.shrink(&mut shared, b"Hello", &mut out);
        assert_eq!(out, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
        let mut whole = Vec::new();
        assert_eq!(codec.restore(&mut shared, &out, 5, &mut whole), Ok(()));
        assert_eq!(whole, b"Hello");
    }
    assert!(codec.deflate.is_none() && codec.inflate.is_none());
    assert!(size_of::<Codec>() <= 24);
}

fn codec(takeover: bool) -> Codec {
    let window = Window { takeover, bits: 15 };
    let terms = Terms {
        client: window,
        server: window,
    };
    Codec::new(terms, Role::Client)
}

proptest! {
    #[test]
    fn every_message_comes_back(
        messages in prop::collection::vec(prop::collection::vec(0_u8..4, 1..3000), 1..6),
        takeover: bool,
        bits in LEAST_BITS..=MOST_BITS,
    ) {
        let window = Window { takeover, bits };
        let terms = Terms { client: window, server: window };
        let mut shared = Shared::default();
        let (mut ours, mut theirs) = (Codec::new(terms, Role::Client), Codec::new(terms, Role::Server));
        for message in messages {
            let (mut small, mut whole) = (b"before".to_vec(), Vec::new());
            ours.shrink(&mut shared, &message, &mut small);
            theirs.restore(&mut shared, &small[6..], 3000, &mut whole).unwrap();
            prop_assert_eq!(whole, message);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_hang(payload in prop::collection::vec(any::<u8>(), 0..400), takeover: bool) {
        let mut out = Vec::new();
        let read = codec(takeover).restore(&mut Shared::default(), &payload, 10_000, &mut out);
        prop_assert!(out.len() <= 10_001 && (read.is_err() || out.len() <= 10_000));
    }
}
