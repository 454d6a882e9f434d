//! The masking of RFC 6455 section 5.3.

/// Masks or unmasks a part of a payload; `offset` is how many bytes of the payload came before it.
pub(super) fn apply(part: &mut [u8], key: [u8; 4], offset: usize) {
    let key: [u8; 4] = std::array::from_fn(|i| key[(offset + i) % 4]);
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = part.as_chunks_mut::<8>();
    for eight in words {
        *eight = (u64::from_ne_bytes(*eight) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_may_be_masked_in_parts_of_any_size() {
        let key = [0x11, 0x22, 0x44, 0x88];
        for len in 0..40 {
            let plain: Vec<u8> = (0..len).collect();
            let expect: Vec<u8> = (0..len).map(|i| i ^ key[usize::from(i) % 4]).collect();
            for split in 0..=plain.len() {
                let mut masked = plain.clone();
                apply(&mut masked[..split], key, 0);
                apply(&mut masked[split..], key, split);
                assert_eq!(masked, expect, "{len} bytes split at {split}");
            }
        }
    }
}
