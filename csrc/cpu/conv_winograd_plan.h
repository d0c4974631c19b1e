// How a correlation by Winograd's method is cut into tasks (see conv_winograd.cpp), and what lies
// where in its workspace.
#pragma once

#include <algorithm>
#include <cmath>

#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/conv_winograd_axis.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"
#include "fastnn/isa.h"
#include "fastnn/parallel.h"

namespace fastnn {

struct WinogradPoint {
  int64_t pieces, pieces_before;  // that it sums for a channel; those of the points before it
  int64_t phases, phases_before;  // of the image, that it needs
  int64_t like;                   // the first point that sums the same pieces
  int64_t list;                   // where these are listed: so many pieces before
};

struct WinogradPlan {
  static constexpr int64_t kPoints = kWinogradPoints, kElem = 4;
  static constexpr int64_t kImageTasks = 8;  // for a group of tiles, where the image is shared

  const Correlation& whole;
  const Planes of;      // the whole one's
  const Correlation c;  // in two axes
  const ConvFilters& kernels;
  int64_t panel, panels;  // filters side by side; so many of these in a group
  int64_t block, blocks;  // channels that are summed before the sums are stored
  const WinogradAxis y, x;
  WinogradPoint points[kPoints];
  int64_t all_pieces, all_phases, listed;  // of all points
  // Taps that lie apart see every second row and column only, say: as many images of their own as
  // there are phases, each with its tiles.
  int64_t phases;
  int64_t across;       // tiles of all phases in one row of each
  int64_t bands, rows;  // of tile rows of an image
  int64_t images;       // of a task: neighbours
  int64_t reach;  // planes that an image sees beyond one: its neighbour sees all but one of them
  int64_t span;   // images that may be neighbours in a task
  int64_t panel_groups, tile_groups;
  int64_t together;  // panels for which a point's image is read once
  bool share_filters, share_image;
  int64_t width, pitch, plane;  // of a channel's copy, with zeros around it: a phase's part of a
                                // row, a row, the whole
  int64_t tiles;                // of a channel at a point, with room for a vector behind the last
  WinogradPlaces places[4];     // of the transformed phases of the first channel
  int64_t image_bytes, filter_bytes;  // transformed: a group of tiles, a panel
  int64_t offset_bytes, all_filters, shared_filters, shared_image;
  int64_t plane_bytes, packed_bytes, product_bytes, sum_bytes, scratch_each;

  explicit WinogradPlan(const Correlation& correlation)
      : whole(correlation),
        of(correlation),
        c(of.flat()),
        kernels(active_conv_kernels().filters),
        y(c.axis[1]),
        x(c.axis[2]) {
    list_points();
    panel = std::min(2 * kernels.lanes, static_cast<int>(round_up(c.out, kernels.lanes)));
    panels = ceil_div(c.out, panel);
    const int64_t chain = std::clamp<int64_t>(cache_sizes().l1d / 2 / (panel * kElem), 96, 384);
    blocks = ceil_div(c.in * points[kMiddle].pieces, chain);
    block = round_up(ceil_div(c.in, blocks), of.taps());
    blocks = ceil_div(c.in, block);
    reach = of.taps() - 1;
    span = reach > 0 ? whole.axis[0].out : c.batch;
    phases = y.gap * x.gap;
    across = phases * x.tiles;
    cut();
    lay_out();
  }

  int64_t tasks() const { return c.groups * tile_groups * panel_groups; }
  int64_t channels(int64_t i) const { return std::min(block, c.in - i * block); }
  // Filters of a panel, in whole vectors.
  int64_t filters(int64_t j) const {
    return round_up(std::min(panel, c.out - j * panel), kernels.lanes);
  }
  // Where a point's filters of a panel begin, and its tiles.
  int64_t filter_point(int64_t j, int64_t point) const {
    return points[point].pieces_before * c.in * filters(j) + point * kPad;
  }
  int64_t image_point(int64_t point) const {
    return points[point].phases_before * whole.in * tiles + point * kPad;
  }
  int64_t product_point(int64_t j) const { return images * rows * across * filters(j) + kPad; }
  int64_t image_tiles() const {
    const int64_t room =
        round_up((images + reach) * phases * plane_tiles(rows) + kernels.lanes, 16);
    return room % 32 == 0 ? room + 16 : room;  // neighbouring channels fall on different cache sets
  }
  int64_t channel_step(int64_t point) const { return points[point].phases * tiles; }
  // Of the image, for so many rows of tiles of the result: tiles of a phase, rows.
  int64_t plane_tiles(int64_t of_tiles) const { return (of_tiles + y.extra) * (x.tiles + x.extra); }
  int64_t plane_rows(int64_t of_tiles) const { return y.pixels(of_tiles) * y.spread(); }
  // Where the image has tiles that the result has not, a tile of products ends with a row.
  bool by_rows() const { return y.extra > 0 || x.extra > 0; }
  int64_t bias_bytes() const { return panel * kElem; }

  // Calls fn(rows' piece, columns' piece) for what is summed at a point, fn(y, x) for the phases of
  // the image that are read there.
  template <class F>
  void for_pieces(int64_t point, F fn) const {
    for (int i = 0; i < y.pieces; ++i)
      for (int j = 0; j < x.pieces; ++j)
        if (y.piece[i].at(point / 4) && x.piece[j].at(point % 4)) fn(y.piece[i], x.piece[j]);
  }
  template <class F>
  void for_phases(int64_t point, F fn) const {
    for (int64_t i = 0; i < y.step; ++i)
      for (int64_t j = 0; j < x.step; ++j)
        if (y.needs(i, point / 4) && x.needs(j, point % 4)) fn(i, j);
  }

 private:
  static constexpr int64_t kMiddle = 5;                     // a point that sums all pieces
  static constexpr int64_t kTiles = 128, kLeastTiles = 12;  // of a task
  // The time of a task, in products of a tile with a panel: to transform a tile, to fetch a panel,
  // what each product waits for an image that is far away.
  static constexpr double kTransform = 0.6, kFetchNear = 2, kFetchFar = 7, kWait = 0.25;
  static constexpr double kRoom = 0.7, kNoRoom = 1.1;  // of the second-level cache
  static constexpr double kManyTasks = 8;              // of a thread: no matter how they divide
  static constexpr int64_t kPad = 16;  // values between points, which fall on different cache sets

  void list_points() {
    all_pieces = all_phases = listed = 0;
    for (int64_t i = 0; i < kPoints; ++i) {
      WinogradPoint& p = points[i];
      p = {0, all_pieces, 0, all_phases, 0, 0};
      for_pieces(i, [&](const WinogradPiece&, const WinogradPiece&) { ++p.pieces; });
      for_phases(i, [&](int64_t, int64_t) { ++p.phases; });
      while (!y.same_pieces(i / 4, p.like / 4) || !x.same_pieces(i % 4, p.like % 4)) ++p.like;
      p.list = p.like < i ? points[p.like].list : listed;
      if (p.like == i) listed += p.pieces;
      all_pieces += p.pieces;
      all_phases += p.phases;
    }
  }

  // Tiles and filters of a task: what takes least time. Sums are the same for all cuts.
  void cut() {
    double best = 0;
    panel_groups = 1;
    int64_t best_tiles = kTiles, best_groups = 1, last = 0;
    for (int64_t limit = kTiles; limit >= kLeastTiles; limit = limit * 3 / 4) {
      cut_tiles(limit);
      if (tile_groups == last) continue;
      last = tile_groups;
      if (workers() == 1 && how_far() == 0) {
        best_tiles = limit;
        break;
      }
      for (const int64_t groups : {int64_t{1}, std::min(workers(), panels)}) {
        panel_groups = groups;
        const double found = cost();
        if (best > 0 && found >= best) continue;
        best = found;
        best_tiles = limit;
        best_groups = groups;
      }
    }
    cut_tiles(best_tiles);
    panel_groups = best_groups;
    share_filters = tile_groups > 1 || c.prepared;
    share_image = shares_image();
  }
  static int64_t workers() { return max_workers(); }

  // Of the busiest thread, in products of a tile with a panel.
  double cost() const {
    const auto tasks_each = [](int64_t tasks) {
      const double each = static_cast<double>(tasks) / static_cast<double>(workers());
      return workers() == 1 || each > kManyTasks ? each : std::ceil(each);
    };
    const int64_t all = c.batch * y.tiles * across;
    const bool uneven = workers() > 1 && tile_groups <= kManyTasks * workers();
    const double tiles_each = uneven ? static_cast<double>(std::min(all, images * rows * across))
                                     : static_cast<double>(all) / static_cast<double>(tile_groups);
    const double each = static_cast<double>(ceil_div(panels, panel_groups)), far = how_far();
    const double products =
        each * (tiles_each * (1 + kWait * far) + kFetchNear + (kFetchFar - kFetchNear) * far);
    const double transform =
        kTransform * tiles_each *
        static_cast<double>((images + reach) * plane_tiles(rows) * all_phases) /
        static_cast<double>(images * rows * x.tiles * of.taps() * all_pieces);
    if (!shares_image()) return tasks_each(tasks()) * (products + transform);
    return tasks_each(tasks()) * products +
           tasks_each(c.groups * tile_groups * kImageTasks) * transform / kImageTasks;
  }
  // With two groups each transforms for itself, as that costs less than handing out more tasks.
  // (Measured on two threads, where there are never more.)
  bool shares_image() const { return panel_groups > 2; }
  // 0 where the image of a task stays in the second-level cache, and the filters that its thread
  // needs for the next task beside it; 1 where they come from behind it.
  double how_far() const {
    const int64_t values =
        whole.in * image_tiles() * all_phases +
        ceil_div(panels, panel_groups) * (c.in * filters(0) * all_pieces + kPoints * kPad);
    const double share =
        static_cast<double>(values * kElem) / static_cast<double>(cache_sizes().l2);
    return std::clamp((share - kRoom) / (kNoRoom - kRoom), 0.0, 1.0);
  }
  void cut_tiles(int64_t limit) {
    if (reach > 0) return cut_volume(limit);
    const PixelGroups cut(c.batch, y.tiles, across, limit);
    bands = cut.bands;
    rows = cut.rows;
    images = cut.images;
    tile_groups = cut.groups;
  }
  // Rows of several planes, so that what is transformed and copied twice, planes and rows that
  // neighbouring tasks see, too, is least.
  void cut_volume(int64_t limit) {
    double least = 0;
    const int64_t deepest = std::clamp<int64_t>(limit / across, 1, span);
    for (int64_t i = 1; i <= deepest; ++i) {
      const int64_t most = std::clamp<int64_t>(limit / (across * i), 1, y.tiles);
      const int64_t deep = ceil_div(span, ceil_div(span, i));
      const int64_t high = ceil_div(y.tiles, ceil_div(y.tiles, most));
      const double twice =
          static_cast<double>((deep + reach) * (high + 1)) / static_cast<double>(deep * high);
      if (i > 1 && twice >= least) continue;
      least = twice;
      images = deep;
      rows = high;
    }
    bands = ceil_div(y.tiles, rows);
    tile_groups = c.batch / span * ceil_div(span, images) * bands;
  }
  void place_phases() {
    for (WinogradPlaces& p : places) std::fill_n(p.of, kPoints, -1);
    for (int64_t point = 0; point < kPoints; ++point) {
      int64_t at = image_point(point);
      for_phases(point, [&](int64_t i, int64_t j) {
        places[i * x.step + j].of[point] = at;
        at += tiles;
      });
    }
  }
  void lay_out() {
    const int64_t lanes = kernels.lanes;
    width = x.pixels(x.tiles);
    pitch = x.spread() * width;
    plane = plane_rows(rows) * pitch + 4 * lanes;
    tiles = image_tiles();
    place_phases();
    image_bytes = (all_phases * whole.in * tiles + kPoints * kPad) * kElem;
    filter_bytes = (all_pieces * c.in * filters(0) + kPoints * kPad) * kElem;
    product_bytes = kPoints * product_point(0) * kElem;
    const int64_t most = share_filters ? ceil_div(panels, panel_groups) : 1;
    together = std::clamp<int64_t>(cache_sizes().l2 / 2 / product_bytes, 1, most);
    together = ceil_div(most, ceil_div(most, together));
    offset_bytes = round_up(2 * block * listed * 8, 64);
    all_filters = c.groups * panels * filter_bytes;
    shared_filters = share_filters && !c.prepared ? all_filters : 0;
    shared_image = share_image ? c.groups * tile_groups * image_bytes : 0;
    plane_bytes = round_up(plane * kElem, 64);
    packed_bytes = round_up(block * c.taps() * panel * kElem, 64);
    sum_bytes = 2 * rows * y.gap * c.axis[2].out * panel * kElem;
    scratch_each =
        round_up(plane_bytes + packed_bytes + together * product_bytes + sum_bytes + bias_bytes() +
                     (share_filters ? 0 : filter_bytes) + (share_image ? 0 : image_bytes),
                 64);
  }
};

}  // namespace fastnn
