//! What a Close frame says (RFC 6455 section 7).

use super::violation::Violation;

/// The payload of a Close frame, as it was on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// `None` when the payload was empty: 1005 in the RFC's terms.
    pub code: Option<u16>,
    pub reason: &'a str,
    /// Both of the above as raw bytes, for an exact echo.
    pub payload: &'a [u8],
}

impl<'a> Close<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Violation> {
        let (code, reason) = match payload {
            [] => (None, [].as_slice()),
            [_] => return Err(Violation::CloseLength1),
            [high, low, reason @ ..] => (Some(u16::from_be_bytes([*high, *low])), reason),
        };
        if let Some(code) = code
            && !may_be_sent(code)
        {
            return Err(Violation::CloseCodeNotAllowed(code));
        }
        let reason = simdutf8::basic::from_utf8(reason)
            .map_err(|_| Violation::CloseReasonNotUtf8(code.unwrap_or_default()))?;
        Ok(Self {
            code,
            reason,
            payload,
        })
    }
}

/// Section 7.4 and the IANA registry, which added 1012 to 1014. Codes above 4999 belong to no range and are refused.
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_reported_as_it_came_or_refused_by_its_own_number() {
        for code in 0..=u16::MAX {
            let payload = [code.to_be_bytes().as_slice(), b"why"].concat();
            let expect = match code {
                0..=999 | 1004..=1006 | 1015..=2999 | 5000.. => {
                    Err(Violation::CloseCodeNotAllowed(code))
                }
                _ => Ok(Close {
                    code: Some(code),
                    reason: "why",
                    payload: &payload,
                }),
            };
            assert_eq!(Close::parse(&payload), expect);
        }
    }

    /// A bad gateway. Some libraries do not know this code and report it as 1002.
    #[test]
    fn code_1014_is_1014() {
        let close = Close::parse(b"\x03\xf6upstream");
        assert_eq!(
            close.map(|close| (close.code, close.reason)),
            Ok((Some(1014), "upstream"))
        );
    }

    #[test]
    fn an_empty_payload_has_no_code() {
        assert_eq!(Close::parse(b"").map(|close| close.code), Ok(None));
        assert_eq!(Close::parse(b"\x03"), Err(Violation::CloseLength1));
        assert_eq!(
            Close::parse(b"\x03\xe8\xff"),
            Err(Violation::CloseReasonNotUtf8(1000))
        );
    }
}
