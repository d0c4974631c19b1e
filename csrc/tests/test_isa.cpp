#include "check.h"
#include "fastnn/isa.h"

using namespace fastnn;

void test_isa() {
  const Isa start = active_isa();
  CHECK(isa_available(Isa::reference));
  CHECK(isa_available(Isa::baseline));
  CHECK(isa_available(start));
  CHECK(!isa_available(static_cast<Isa>(-1)));
  CHECK(!isa_available(static_cast<Isa>(kIsaLevels)));
  CHECK(start <= best_isa());
  CHECK_EQ(std::string(name_of(Isa::avx512_bf16)), "avx512_bf16");
  CHECK_EQ(std::string(name_of(Isa::amx)), "amx");

  for (int i = 0; i < kIsaLevels; ++i) {
    const Isa isa = static_cast<Isa>(i);
    if (isa_available(isa)) {
      set_isa(isa);
      CHECK(active_isa() == isa);
    } else {
      CHECK_FAILS(ErrorKind::value, name_of(isa), set_isa(isa));
    }
  }
  set_isa(start);
  CHECK_FAILS(ErrorKind::value, "available: reference, baseline", set_isa(static_cast<Isa>(99)));
  CHECK(active_isa() == start);

  const CacheSizes& c = cache_sizes();
  CHECK(c.l1d >= 16 << 10 && c.l1d <= 128 << 10);
  CHECK(c.l2 >= c.l1d && c.l2 <= 4 << 20);
  CHECK(c.l3 >= 1 << 20 && c.l3 <= 32 << 20);
}
