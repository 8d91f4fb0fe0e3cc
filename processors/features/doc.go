// Package features makes windows of an asset's readings, row by row, by the recipe that a model carries. Training and serving call the same code.
//
// # Slots
//
// Slot k of an asset covers [k*Grid, (k+1)*Grid) of Unix time. Of several readings of a signal in a slot the last by event time counts; of two
// with the same time, the first that came. A slot closes when
//
//   - under Complete, each signal has been read in it and all slots before it are closed, or it is the first slot with readings of an asset
//     that was not known; or
//   - the asset's own watermark, its newest event time less the allowed lateness, reaches the slot's end; or
//   - the asset is forgotten (below).
//
// So complete rows that come in order make windows without delay, rows out of order within the lateness find their slot, and nothing depends
// on how the assets of a partition interleave.
//
// # Lives
//
// A slot with readings where a signal has none takes the signal's value from the slot before, for at most MaxGap slots in a row; so do slots
// without readings, once the next slot with readings closes. (Not earlier: until then it cannot be known whether they are a gap or the end.
// So the last window of an asset that falls silent is one that was read, however its silence is noticed.) A run of slots in
// which every signal has a value so, read or filled, is a life. Smoothing, baseline and age begin with it, and a window is made as each of
// its slots from the Length-th on closes.
//
// # What is forgotten, and when
//
// The partition's clock is the newest event time of all its rows. An asset whose last row came when the clock stood at c is forgotten, its
// open slots closed, by the row that moves the clock past c + Horizon; its next row finds it unknown. (Counting from the clock at the last
// row and not from that row's own time keeps assets whose time runs behind the partition's, as in a backfill, from being forgotten at every
// row. It also makes the order of forgetting a list and not a heap.) A row so far ahead that every slot up to more than MaxGap empty ones
// closes by it finds the asset unknown, too: nothing before it can matter to it.
//
// All of this happens at rows, in offset order, so state is a function of the rows alone, and an asset's state a function of the rows since it was
// last unknown and of the clock before the first of them. Fold tells that row's offset and that clock for a whole partition.
//
// # Values instead of windows
//
// Aggregates keeps the same lives and clock, and no slots: it tells of each window of event time how many values a signal had, their mean, deviation, and so on.
package features
