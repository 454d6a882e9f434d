//! May this upgrade go now? The one authority for the whole fleet. It decides from what a client can observe and from
//! what the profile claims; how the platform really enforces a limit is not its business.
