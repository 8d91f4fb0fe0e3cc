package model

// InShare reports whether an asset belongs to a share of all assets, in percent with steps of a hundredth. It depends on the asset's name alone, so that partitions,
// restarts and processes agree, and a larger share holds all of a smaller one.
func InShare(asset string, percent float64) bool {
	// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv), and MurmurHash3's finalizer, without which names that differ in their last digits only lie close together.
	h := uint64(14695981039346656037)
	for i := range len(asset) {
		h = (h ^ uint64(asset[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return float64(h%10000) < percent*100
}
