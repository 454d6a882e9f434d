//! The rules of RFC 6455 that a peer can break, each by name.

use thiserror::Error;

/// A rule that the peer broke. The connection cannot go on: send [`Violation::close_code`] and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// Holds the three bits, RSV1 as 4.
    #[error("reserved bits {0:03b} are set in a frame where no negotiated extension uses them")]
    ReservedBits(u8),
    #[error("opcode {0:#x} is unknown; RFC 6455 defines 0x0, 0x1, 0x2, 0x8, 0x9 and 0xa")]
    UnknownOpcode(u8),
    #[error("a control frame came in fragments; it must be one frame")]
    FragmentedControl,
    /// Holds the seven bits of the length: 126 and 127 announce a longer field.
    #[error(
        "a control frame has length field {0}; a control frame carries at most 125 bytes of payload"
    )]
    ControlTooLong(u8),
    #[error("a frame from a client is not masked; it must be")]
    MaskMissing,
    #[error("a frame from a server is masked; it must not be")]
    MaskUnexpected,
    #[error("length {0} is written in a longer field than it needs")]
    LengthNotMinimal(u64),
    #[error("the top bit of a 64-bit length is set; it must be 0")]
    LengthTopBit,
    #[error("a continuation frame came while no message was open")]
    ContinuationWithoutStart,
    #[error("a new message began before the fragments of the last one were complete")]
    StartInsideMessage,
    #[error("a text message is not valid UTF-8")]
    InvalidUtf8,
    #[error("a Close frame has a payload of 1 byte; it must be empty or begin with a 2-byte code")]
    CloseLength1,
    #[error("close code {0} must not be sent; 1000 to 1003, 1007 to 1014 and 3000 to 4999 may be")]
    CloseCodeNotAllowed(u16),
    /// Holds the close code, which can still be read.
    #[error("the reason of a Close frame with code {0} is not valid UTF-8")]
    CloseReasonNotUtf8(u16),
    #[error("a frame claims {length} bytes, above the limit of {max} for one frame")]
    FrameTooBig { length: u64, max: u64 },
    #[error("a message grows to {length} bytes, above the limit of {max} for one message")]
    MessageTooBig { length: u64, max: u64 },
    #[error("bytes came after a Close frame, which must be the last frame")]
    DataAfterClose,
    #[error("a compressed message is no DEFLATE stream (RFC 7692)")]
    NotDeflate,
}

impl Violation {
    /// A few words that do not vary with the bytes, fit to count by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReservedBits(_) => "reserved bits set",
            Self::UnknownOpcode(_) => "unknown opcode",
            Self::FragmentedControl => "fragmented control frame",
            Self::ControlTooLong(_) => "control frame too long",
            Self::MaskMissing => "mask missing",
            Self::MaskUnexpected => "mask unexpected",
            Self::LengthNotMinimal(_) => "length not minimal",
            Self::LengthTopBit => "length with top bit",
            Self::ContinuationWithoutStart => "continuation without start",
            Self::StartInsideMessage => "start inside a message",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::CloseLength1 => "close payload of one byte",
            Self::CloseCodeNotAllowed(_) => "close code not allowed",
            Self::CloseReasonNotUtf8(_) => "close reason not UTF-8",
            Self::FrameTooBig { .. } => "frame too big",
            Self::MessageTooBig { .. } => "message too big",
            Self::DataAfterClose => "data after close",
            Self::NotDeflate => "compressed message cannot be inflated",
        }
    }

    /// The code to fail the connection with: 1002, 1007 or 1009 (RFC 6455 section 7.4.1).
    pub const fn close_code(self) -> u16 {
        match self {
            Self::InvalidUtf8 | Self::CloseReasonNotUtf8(_) | Self::NotDeflate => 1007,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => 1009,
            _ => 1002,
        }
    }
}
