//! Sorting by number. The standard library's functions are compiled again for each type of item and of
//! key, which build scripts would pay for several times; these are compiled once.

/// Returns the indices of items with these keys in the order of the keys. Items with equal keys stay in
/// their order.
pub(crate) fn indices(keys: Vec<u128>) -> Vec<usize> {
    let mut order = Vec::with_capacity(keys.len());
    for (index, key) in keys.into_iter().enumerate() {
        order.push((key, index));
    }
    order.sort_unstable();
    let mut indices = Vec::with_capacity(order.len());
    for (_, index) in order {
        indices.push(index);
    }
    indices
}

/// Sorts items by a key. Items with equal keys stay in their order.
pub(crate) fn sort_by_key<T>(items: &mut Vec<T>, key: impl Fn(&T) -> u128) {
    let mut keys = Vec::with_capacity(items.len());
    let mut unsorted = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        keys.push(key(&item));
        unsorted.push(Some(item));
    }
    for index in indices(keys) {
        if let Some(item) = unsorted[index].take() {
            items.push(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_stay_in_order() {
        let mut items = vec![(2, 'a'), (1, 'b'), (2, 'c'), (0, 'd'), (1, 'e')];
        sort_by_key(&mut items, |(key, _)| *key);
        assert_eq!(items, [(0, 'd'), (1, 'b'), (1, 'e'), (2, 'a'), (2, 'c')]);
        assert_eq!(indices(vec![3, 1, 3, 2]), [1, 3, 0, 2]);
    }
}
