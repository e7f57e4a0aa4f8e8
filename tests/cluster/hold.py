"""Hold a device for a while, and write which one and when."""

import json
import os
import sys
import time
from pathlib import Path

from goodsubnet.runtime import devices

lent = os.environ.get(devices.VARIABLE)
device = devices.acquire("cuda")
began = time.time()
time.sleep(1.5)
Path(sys.argv[1]).write_text(json.dumps({"lent": lent, "name": device.name, "began": began, "ended": time.time()}))
